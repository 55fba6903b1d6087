/* The tables behind schema.h: what each member of each document type may hold. */
#pragma once

#include "certstore/schema.h"

enum cs_kind {
    CS_K_TEXT,  /* any text of at most max bytes */
    CS_K_LINE,  /* text without control characters */
    CS_K_LABEL, /* letters, digits, '.', '_', '-'; not beginning with '.' or '-' */
    CS_K_HOST,  /* a label in the wider sense of host names: also ':' and a leading '*' */
    CS_K_WORD,  /* one of words */
    CS_K_INT,   /* 0 … max */
    CS_K_BOOL,
    CS_K_TIME, /* RFC 3339 UTC */
    CS_K_ULID,
    CS_K_HEX,    /* exactly max lower-case hex digits */
    CS_K_BASE64, /* its alphabet; decoded where it is used */
    CS_K_BASE64URL,
    CS_K_PEM,    /* printable ASCII lines that begin with a PEM header */
    CS_K_OBJECT, /* members as in inner */
    CS_K_ANY,    /* any JSON without fractions, at most max bytes */
};

enum {
    CS_M_REQUIRED = 1,
    CS_M_LIST = 2, /* an array of at most `items` of the kind */
};

struct cs_member {
    const char *name; /* NULL ends a table */
    enum cs_kind kind;
    unsigned flags;
    int64_t max; /* 0 = the kind's usual limit */
    size_t items;
    const char *const *words;      /* CS_K_WORD; NULL-terminated */
    const struct cs_member *inner; /* CS_K_OBJECT */
};

/* How the part of an id behind "type:" must look. */
enum cs_naming {
    CS_N_ULID,
    CS_N_LABEL,
    CS_N_HOST,
    CS_N_ROOT, /* exactly "root" */
    CS_N_HEX64,
    CS_N_HOST_ULID, /* "server:ULID" */
};

struct cs_rule {
    struct cs_type type;
    enum cs_naming naming;
    const struct cs_member *member; /* NULL: any snake_case member */
};

extern const struct cs_rule cs_rules[];
extern const size_t cs_rule_count;
