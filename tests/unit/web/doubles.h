/* In-memory stand-ins for the engine, the fleet and the trust root, scripted and read by the tests.
 */
#pragma once

#include "certmgr/engine/engine.h"
#include "certmgr/fleet/fleet.h"

#define DOUBLE_SERVERS 64

struct doubles {
    struct cm_loop *loop;
    bool manager;    /* this server is the manager */
    bool no_manager; /* the trust root names none */
    int64_t trust_expires_ms;
    struct kf_server server[DOUBLE_SERVERS];
    size_t server_count;
    /* answers */
    json_t *defaults;     /* eng_defaults() */
    json_t *view;         /* eng_view(): NULL = no such credential */
    json_t *field_errors; /* eng_check(), eng_submit() */
    json_t *notes;
    json_t *report; /* of eng_report(), or NULL: the engine stops */
    int64_t since_ms;
    json_t *advice;        /* rows of eng_advise(), or NULL: none */
    json_t *advice_before; /* the same, of nothing changed */
    json_t *recipe;        /* eng_dns_recipe_view() of "own", or NULL */
    json_t *widens;        /* eng_dns_recipe_widens(), or NULL: none */
    bool hold;             /* the engine answers at doubles_release() */
    struct cm_err fail;    /* of the next asynchronous call, when code is set */
    /* what was asked */
    json_t *fields;    /* of eng_submit(), eng_account_put(), eng_settings_put() */
    json_t *confirmed; /* of eng_dns_recipe_put() */
    char who[80], via[16], name[128];
    bool new_key;        /* of the last eng_renew() */
    int rollover;        /* the reason of the last eng_roll_over() */
    int64_t base_serial; /* of the last eng_change() */
    char *pem;
    int calls;
};
extern struct doubles doubles;

void doubles_start(struct cm_loop *loop);
void doubles_stop(void);
/* Gives the answers held back, and holds no more. */
void doubles_release(void);
