// A file of its own, so that the page's Content-Security-Policy needs no inline scripts.
'use strict';

window.addEventListener('load', function () {
  window.SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#api',
    deepLinking: true,
    displayRequestDuration: true,
    // Survives a reload of the page; the token stays in this browser.
    persistAuthorization: true,
    // Nothing is sent anywhere else.
    validatorUrl: null,
  });
});
