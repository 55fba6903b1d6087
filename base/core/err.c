/* The error object: building it on the way up, copying it, and its one JSON shape. */
#include "base/core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

static const struct {
    int code;
    const char *name;
} code_names[] = {
    {CM_OK, "ok"},
    {CM_EINVAL, "invalid"},
    {CM_ENOENT, "not_found"},
    {CM_ECONFLICT, "conflict"},
    {CM_ELIMIT, "limit"},
    {CM_EMALF, "malformed"},
    {CM_EDENIED, "denied"},
    {CM_EIO, "io"},
    {CM_EFULL, "full"},
    {CM_EPEER, "peer"},
    {CM_ENET, "network"},
    {CM_ETIMEOUT, "timeout"},
    {CM_ECRYPTO, "crypto"},
    {CM_EBUSY, "busy"},
    {CM_ECLOSED, "closed"},
    {CM_EHUMAN, "human"},
};

static const char *const retry_names[] = {
    [CM_RETRY_NONE] = "none",
    [CM_RETRY_TRANSIENT] = "transient",
    [CM_RETRY_CONFIGURATION] = "configuration",
    [CM_RETRY_PERMANENT] = "permanent",
    [CM_RETRY_REPAIR] = "repair",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void cm_err_fini(struct cm_err *err)
{
    if (!err)
        return;
    if (err->code == 0 && !err->problem && !err->names && !err->what[0] && !err->hint[0] &&
        !err->object[0] && err->cause_count == 0 && err->retry == CM_RETRY_NONE &&
        err->attempts == 0 && err->next_attempt_ms == 0)
        return; /* empty, as nearly always: its four thousand bytes need no writing */
    json_decref(err->problem);
    json_decref(err->names);
    memset(err, 0, sizeof(*err));
}

void cm_err_copy(struct cm_err *dst, const struct cm_err *src)
{
    if (dst == src)
        return;
    *dst = *src;
    dst->problem = src->problem ? json_deep_copy(src->problem) : NULL;
    dst->names = src->names ? json_deep_copy(src->names) : NULL;
}

/* Formats, and keeps the text valid UTF-8: it ends in JSON documents. */
static void __attribute__((format(printf, 3, 0)))
format_text(char *out, size_t size, const char *fmt, va_list ap)
{
    int len = vsnprintf(out, size, fmt, ap);
    if (len < 0)
        out[0] = '\0';
    else if ((size_t)len >= size)
        cm_utf8_trim(out);
    cm_utf8_fix(out);
}

int cm_fail(struct cm_err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    /* Formatted aside first: the arguments may point into *err. */
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    cm_err_fini(err);
    err->code = code;
    memcpy(err->what, text, sizeof(text));
    return code;
}

/* The root cause (last) is worth more than the middle of the chain: that is what gives way. */
static void push_cause_front(struct cm_err *err)
{
    if (err->cause_count == CM_ERR_CAUSES_MAX)
        memcpy(err->cause[CM_ERR_CAUSES_MAX - 2], err->cause[CM_ERR_CAUSES_MAX - 1],
               CM_ERR_TEXT_MAX);
    else
        err->cause_count++;
    memmove(err->cause[1], err->cause[0], (err->cause_count - 1) * (size_t)CM_ERR_TEXT_MAX);
    memcpy(err->cause[0], err->what, CM_ERR_TEXT_MAX);
}

int cm_wrap(struct cm_err *err, int code_if_none, const char *fmt, ...)
{
    if (!err)
        return code_if_none;
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (err->code == 0)
        err->code = code_if_none;
    if (err->what[0])
        push_cause_front(err);
    memcpy(err->what, text, sizeof(text));
    return err->code;
}

int cm_fail_errno(struct cm_err *err, int errnum, const char *fmt, ...)
{
    int code = errnum == ENOENT                       ? CM_ENOENT
               : errnum == ENOSPC || errnum == EDQUOT ? CM_EFULL
                                                      : CM_EIO;
    if (!err)
        return code;
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    cm_fail(err, code, "%s", text);
    cm_err_cause(err, "%s", cm_errno_text(errnum));
    return code;
}

const char *cm_errno_text(int errnum)
{
    const char *text = strerrordesc_np(errnum);
    return text ? text : "unknown system error";
}

void cm_err_object(struct cm_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char text[CM_ERR_OBJECT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    memcpy(err->object, text, sizeof(text));
}

void cm_err_hint(struct cm_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    memcpy(err->hint, text, sizeof(text));
}

void cm_err_cause(struct cm_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char text[CM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_text(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (err->cause_count < CM_ERR_CAUSES_MAX)
        err->cause_count++;
    memcpy(err->cause[err->cause_count - 1], text, sizeof(text));
}

void cm_err_name(struct cm_err *err, const char *name)
{
    if (!err || cm_json_has_str(err->names, name) ||
        json_array_size(err->names) >= CM_ERR_NAMES_MAX)
        return;
    if (!err->names)
        err->names = json_array();
    json_array_append_new(err->names, json_string(name));
}

const char *cm_code_name(int code)
{
    for (size_t i = 0; i < COUNT(code_names); i++) {
        if (code_names[i].code == code)
            return code_names[i].name;
    }
    return "unknown";
}

const char *cm_retry_name(enum cm_retry retry)
{
    return (size_t)retry < COUNT(retry_names) ? retry_names[retry] : "none";
}

json_t *cm_err_to_json(const struct cm_err *err)
{
    if (!err || err->code == 0)
        return NULL;
    json_t *obj = json_object();
    cm_json_set_str(obj, "code", cm_code_name(err->code));
    if (err->object[0])
        cm_json_set_str(obj, "object", err->object);
    cm_json_set_str(obj, "what", err->what);
    if (err->cause_count > 0) {
        json_t *causes = json_array();
        for (unsigned i = 0; i < err->cause_count; i++)
            json_array_append_new(causes, json_string(err->cause[i]));
        cm_json_set(obj, "causes", causes);
    }
    if (err->hint[0])
        cm_json_set_str(obj, "hint", err->hint);
    if (err->problem)
        cm_json_set(obj, "problem", json_deep_copy(err->problem));
    if (err->names)
        cm_json_set(obj, "names", json_deep_copy(err->names));
    if (err->retry != CM_RETRY_NONE)
        cm_json_set_str(obj, "retry", cm_retry_name(err->retry));
    if (err->attempts > 0)
        cm_json_set_int(obj, "attempts", err->attempts);
    cm_json_set_time(obj, "next_attempt_at", err->next_attempt_ms);
    return obj;
}

static void copy_member(char *out, size_t size, const json_t *obj, const char *key)
{
    if (cm_strcpy(out, size, cm_json_str_or(obj, key, "")) < 0)
        cm_utf8_trim(out);
}

int cm_err_from_json(struct cm_err *err, const json_t *obj)
{
    *err = CM_ERR_INIT;
    const char *code = cm_json_str(obj, "code");
    const char *what = cm_json_str(obj, "what");
    if (!code || !what)
        return CM_EMALF;
    for (size_t i = 0; i < COUNT(code_names); i++) {
        if (strcmp(code_names[i].name, code) == 0)
            err->code = code_names[i].code;
    }
    if (err->code == 0)
        return CM_EMALF;
    copy_member(err->object, sizeof(err->object), obj, "object");
    copy_member(err->what, sizeof(err->what), obj, "what");
    copy_member(err->hint, sizeof(err->hint), obj, "hint");
    const char *retry = cm_json_str_or(obj, "retry", "none");
    for (size_t i = 0; i < COUNT(retry_names); i++) {
        if (strcmp(retry_names[i], retry) == 0)
            err->retry = (enum cm_retry)i;
    }
    size_t index;
    json_t *cause;
    json_array_foreach(cm_json_arr(obj, "causes"), index, cause)
    {
        if (json_is_string(cause) && err->cause_count < CM_ERR_CAUSES_MAX)
            cm_err_cause(err, "%s", json_string_value(cause));
    }
    if (cm_json_obj(obj, "problem"))
        err->problem = json_deep_copy(cm_json_obj(obj, "problem"));
    json_t *name;
    json_array_foreach(cm_json_arr(obj, "names"), index, name)
    {
        if (json_is_string(name))
            cm_err_name(err, json_string_value(name));
    }
    int64_t attempts = cm_json_int(obj, "attempts", 0);
    err->attempts = attempts > 0 && attempts <= UINT32_MAX ? (unsigned)attempts : 0;
    err->next_attempt_ms = cm_json_time(obj, "next_attempt_at", 0);
    return 0;
}

void cm_err_line(const struct cm_err *err, char *out, size_t out_size)
{
    CM_BUG_ON(out_size == 0);
    int cut = cm_strcpy(out, out_size, err->what);
    size_t len = strlen(out);
    for (unsigned i = 0; i < err->cause_count && cut == 0; i++) {
        int more = snprintf(out + len, out_size - len, ": %s", err->cause[i]);
        if (more < 0 || (size_t)more >= out_size - len)
            cut = CM_ELIMIT;
        else
            len += (size_t)more;
    }
    if (cut < 0)
        cm_utf8_trim(out);
}
