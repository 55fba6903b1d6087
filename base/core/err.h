/*
 * Error codes and the error object.
 *
 * Every fallible function returns 0 or one of the negative codes below and, where the last
 * parameter is a `struct cm_err *` (may be NULL), fills it.  The object outlives the call: it is
 * logged, stored in documents (`error` member) and shown to people in UI, API and CLI.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cm_code {
    CM_OK = 0,
    CM_EINVAL = -1001,    /* a caller's or user's argument is wrong */
    CM_ENOENT = -1002,    /* the object does not exist */
    CM_ECONFLICT = -1003, /* stale revision, or an object of that name exists already */
    CM_ELIMIT = -1004,    /* a named limit would be exceeded */
    CM_EMALF = -1005,     /* bytes from outside do not parse */
    CM_EDENIED = -1006,   /* not allowed, or a signature does not verify */
    CM_EIO = -1007,       /* file system, LMDB or socket error */
    CM_EFULL = -1008,     /* disk or map full */
    CM_EPEER = -1009,     /* a remote system refused or misbehaved */
    CM_ENET = -1010,      /* a remote system cannot be reached */
    CM_ETIMEOUT = -1011,  /* no answer in time */
    CM_ECRYPTO = -1012,   /* OpenSSL refused */
    CM_EBUSY = -1013,     /* try again later in this process (back-pressure, agent away) */
    CM_ECLOSED = -1014,   /* the channel was closed or the operation cancelled */
    CM_EHUMAN = -1015,    /* only a person can go on (terms, configuration) */
};

/* How a failure is retried (reference/acme.md 1.8). */
enum cm_retry {
    CM_RETRY_NONE = 0,      /* final, or not a retryable thing */
    CM_RETRY_TRANSIENT,     /* back off and try again */
    CM_RETRY_CONFIGURATION, /* a person must change something; tried daily */
    CM_RETRY_PERMANENT,     /* same input can never work */
    CM_RETRY_REPAIR,        /* code repairs it by itself */
};

#define CM_ERR_TEXT_MAX   512
#define CM_ERR_OBJECT_MAX 160
#define CM_ERR_CAUSES_MAX 6
#define CM_ERR_NAMES_MAX  30

struct cm_err {
    int code; /* enum cm_code; 0 = no error */
    enum cm_retry retry;
    char object[CM_ERR_OBJECT_MAX]; /* "credential:01J…", "host www.example.com", … */
    char what[CM_ERR_TEXT_MAX];     /* what failed, one sentence */
    char cause[CM_ERR_CAUSES_MAX][CM_ERR_TEXT_MAX]; /* why, outermost first */
    unsigned cause_count;
    char hint[CM_ERR_TEXT_MAX]; /* what a person can do; may be empty */
    json_t *problem;            /* owned: the CA's problem document verbatim, or NULL */
    json_t *names;              /* owned: names of the request it is about, or NULL */
    unsigned attempts;          /* 0 = not counted */
    int64_t next_attempt_ms;    /* wall clock; 0 = none planned */
};

/* An empty error object; every `struct cm_err` starts from it and ends in cm_err_fini(). */
#define CM_ERR_INIT ((struct cm_err){0})

/* Frees what the object owns and empties it.  NULL is allowed. */
void cm_err_fini(struct cm_err *err);

/* Deep copy; dst is overwritten (fini first if it held something). */
void cm_err_copy(struct cm_err *dst, const struct cm_err *src);

/* Sets code and `what` (printf style) on a fresh error and returns code.  err may be NULL. */
int cm_fail(struct cm_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* cm_fail for a system call: errno ENOENT = CM_ENOENT, ENOSPC/EDQUOT = CM_EFULL, all others CM_EIO;
 * the system's text becomes the first cause.  Returns the code. */
int cm_fail_errno(struct cm_err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The system's text of an errno value; never NULL, thread-safe, not translated. */
const char *cm_errno_text(int errnum);

/* Adds context while going up: the present `what` becomes the first cause, the new text becomes
 * `what`.  Returns the code already in err (or `code_if_none` when err is NULL or empty). */
int cm_wrap(struct cm_err *err, int code_if_none, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void cm_err_object(struct cm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cm_err_hint(struct cm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cm_err_cause(struct cm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One of the request's names that the failure is about: the request could do without it. */
void cm_err_name(struct cm_err *err, const char *name);

/* Short stable name of a code ("conflict", "denied", …); never NULL. */
const char *cm_code_name(int code);
const char *cm_retry_name(enum cm_retry retry);

/* The one JSON shape of an error (document, API, UI, log):
 * {"code","object","what","causes":[…],"hint","problem","names","retry","attempts","next_attempt_at"};
 * "code" and "retry" are the names above; empty members are left out.  The caller owns the result;
 * NULL when err holds no error. */
json_t *cm_err_to_json(const struct cm_err *err);
/* Reads that shape back (err is overwritten); unknown members are ignored.  Returns 0 or CM_EMALF.
 */
int cm_err_from_json(struct cm_err *err, const json_t *obj);

/* "what: cause: cause" on one line into out (always terminated). */
void cm_err_line(const struct cm_err *err, char *out, size_t out_size);
