// Certificate authorities and certificates for tests, made in a folder of the test's own.
#ifndef BULKHEAD_TESTS_CERTIFICATES_H
#define BULKHEAD_TESTS_CERTIFICATES_H

struct authority;

// Makes an authority and a folder with its certificate.
struct authority *authority_create(void);
// Removes the folder with everything in it. Nulls the pointer.
void authority_free(struct authority **authority);
// Returns the path of the authority's certificate, as long as the authority lives.
const char *authority_file(const struct authority *authority);

// Writes the certificates of the authority and, unless it is NULL, of `other` to FOLDER/FILE, which is replaced at once
// if it exists. Returns the path, as long as the authority lives.
const char *authority_trust(struct authority *authority, const char *file, const struct authority *other);

// Writes a certificate and its key to FOLDER/FILE, which is replaced at once if it exists. `uri` goes into
// subjectAltName, NULL for none; the certificate begins a day ago and ends in `days` days; 0 makes one that has
// expired. Returns the path, as long as the authority lives.
const char *authority_issue(struct authority *authority, const char *file, const char *uri, int days);
// Does the same, with an end in `seconds`.
const char *authority_issue_briefly(struct authority *authority, const char *file, const char *uri, long seconds);
// Does the same for the service "test" for a day, which is what most tests want.
const char *authority_issue_test(struct authority *authority);

#endif
