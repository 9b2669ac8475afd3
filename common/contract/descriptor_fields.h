// Field numbers of google/protobuf/descriptor.proto, in one place: descriptor sets are read by them on the wire, and
// the paths of source places are made of them.
#ifndef BULKHEAD_CONTRACT_DESCRIPTOR_FIELDS_H
#define BULKHEAD_CONTRACT_DESCRIPTOR_FIELDS_H

enum { SET_FILE = 1 };
enum { FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3 };
enum { FILE_MESSAGE_TYPE = 4, FILE_ENUM_TYPE = 5, FILE_SERVICE = 6, FILE_EXTENSION = 7 };
enum { FILE_OPTIONS = 8, FILE_SYNTAX = 12 };
// The name of a message, enum, service, method or field.
enum { DECLARATION_NAME = 1 };
enum { MESSAGE_FIELD = 2, MESSAGE_NESTED_TYPE = 3, MESSAGE_ENUM_TYPE = 4, MESSAGE_EXTENSION = 6, MESSAGE_ONEOF = 8 };
enum { FIELD_EXTENDEE = 2, FIELD_NUMBER = 3, FIELD_OPTIONS = 8, FIELD_PROTO3_OPTIONAL = 17 };
enum { ONEOF_OPTIONS = 2 };
enum { ENUM_VALUE = 2 };
enum { SERVICE_METHOD = 2, SERVICE_OPTIONS = 3 };
enum { METHOD_OPTIONS = 4 };

#endif
