#include "protocol/err.h"

static const struct {
    const char *code, *text;
    int status;
} errors[] = {
    {"OK", "OK", 200},
#define ERROR(name, code, text, status) {code, text, status},
#include "protocol/errors.def"
#undef ERROR
};

const char *err_code(enum err err) { return errors[err].code; }
const char *err_text(enum err err) { return errors[err].text; }
int err_http_status(enum err err) { return errors[err].status; }
