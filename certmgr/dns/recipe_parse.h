/* What the two files that check a recipe share. */
#pragma once

#include "certmgr/dns/recipe.h"

struct rcp_parse {
    const json_t *recipe;
    struct cm_err *err;
    const char *test; /* name of the recorded test that is played, or NULL */
};
enum rcp_type {
    T_TEXT,
    T_COUNT,
    T_INT,
    T_BOOL,
    T_OBJ,
    T_LIST,
    T_ANY,
    T_SCALAR,
    T_POINTER,
    T_POINTERS,
    T_SAVE,
    T_RULE,
    T_MAP,
    T_HEADERS,
    T_STATUS,
    T_URL,
};
struct rcp_member {
    const char *name; /* NULL ends a table */
    enum rcp_type type;
    bool required;
};
/* "recipe ID: POINTER: why", in a test "recipe ID: test NAME: POINTER: why", with the pointer as
 * the error's object; returns CM_EINVAL. */
int rcpp_fail(struct rcp_parse *p, const char *pointer, const char *why);
/* Only members of the table, each of its type, the required ones there. */
int rcpp_object(struct rcp_parse *p, const char *pointer, const json_t *obj,
                const struct rcp_member *table);
/* An absent member is fine; choices are separated by blanks. */
int rcpp_choice(struct rcp_parse *p, const char *pointer, const json_t *obj, const char *name,
                const char *choices);
/* What a recipe and its steps may say about replies: error, paging, reply. */
int rcpp_reply_rules(struct rcp_parse *p, const char *pointer, const json_t *obj);
/* recipe_scope.c: auth and steps, and what their templates name. */
int rcpp_steps(struct rcp_parse *p);
/* https://HOST/… with a HOST of `hosts` and no placeholder before its path. */
int rcpp_url_literal(struct rcp_parse *p, const char *pointer, const char *url);
