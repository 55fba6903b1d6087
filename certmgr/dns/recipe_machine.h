/* What the files of the recipe machine share: its state and the moves between phases. */
#pragma once

#include "certmgr/dns/recipe.h"

enum rcp_phase {
    P_LOGIN,
    P_ZONE,
    P_FIND,
    P_ADD,
    P_DELETE,
    P_PUT,
    P_CLEAR,
    P_COMMIT,
    P_WAIT,
    P_CHECK, /* find once more */
    P_LOGOUT,
    P_DONE,
};
struct rcp_machine {
    struct rcp_job job;
    const json_t *steps;
    struct rcp_vars vars;
    enum rcp_phase phase;
    struct rcp_request request;
    json_t *step; /* of the request under way (held) */
    const char *candidate;
    bool soa_asked, login_kept, logged_in, login_renewed;
    int64_t login_life_ms, pause_ms, waited_ms;
    unsigned requests, tries, rounds, rereads, pages;
    json_t *found, *before, *targets; /* read; read before the write; ids to delete */
    char *next_page;
    int64_t page_no;
    struct cm_err err;
    bool failed;
};

/* recipe_machine.c */
const json_t *rcpm_step(const struct rcp_machine *m, const char *name);
json_t *rcpm_sub(struct rcp_machine *m, const char *root); /* {"zone":…} and so on, borrowed */
void rcpm_trace(struct rcp_machine *m, const char *what, const char *text);
void rcpm_go(struct rcp_machine *m, enum rcp_phase phase);
void rcpm_end(struct rcp_machine *m); /* the work is done; logs out first */
void rcpm_fail(struct rcp_machine *m, struct cm_err *take);
/* recipe_flow.c: what follows a phase that went well */
void rcpm_after_zone(struct rcp_machine *m);
void rcpm_after_find(struct rcp_machine *m);
void rcpm_after_write(struct rcp_machine *m, enum rcp_phase done);
void rcpm_after_delete(struct rcp_machine *m);
void rcpm_after_check(struct rcp_machine *m);
/* recipe_zone.c */
void rcpm_set_zone(struct rcp_machine *m, const char *zone);
void rcpm_take_zone_options(struct rcp_machine *m);
bool rcpm_zone_known(struct rcp_machine *m);
bool rcpm_below(const char *fqdn, const char *zone);
char *rcpm_plain_zone(const char *text); /* without its dot; cm_free */
void rcpm_next_candidate(struct rcp_machine *m);
void rcpm_zone_answered(struct rcp_machine *m, const json_t *doc);
