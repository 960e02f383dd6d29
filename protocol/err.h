/* err.h: the errors of errors.def as values. One table feeds RESP and HTTP, so both name an error alike. */
#ifndef KVNODE_PROTOCOL_ERR_H
#define KVNODE_PROTOCOL_ERR_H

enum err {
    ERR_NONE = 0,
#define ERROR(name, code, text, status) ERR_##name,
#include "protocol/errors.def"
#undef ERROR
};

const char *err_code(enum err err); /* "MOVED", "ERR", ...; "OK" for ERR_NONE */
const char *err_text(enum err err); /* what follows the code */
int err_http_status(enum err err);  /* 200 for ERR_NONE */

#endif
