/* An engine with a small CA, an account and the scripted DNS provider of fake_dns.h. */
#pragma once

#include "tests/unit/engine/fake_dns.h"

#include "certmgr/engine/job.h"

#include "certmgr/engine/job.h"

#define OWNER "_acme-challenge.example.com"

static const struct eng_actor actor = {.who = "ada", .via = "form"};
static struct dns_client *client;

static inline int setup(void **state)
{
    fake_reset();
    h_setup(state);
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    OK(dns_client_new(h->loop, "127.0.23.9:23053", &client, &err), err); /* never asked */
    h->engine->env.dns = client;
    h_account(h);
    return 0;
}

static inline int teardown(void **state)
{
    struct h *h = *state;
    h_turns(h, 0);
    /* the engine ends before its client */
    eng_free(h->engine);
    h->engine = NULL;
    dns_client_free(client);
    h_teardown(state);
    fake_fini();
    return 0;
}

static inline void restart(struct h *h)
{
    h_restart(h);
    h->engine->env.dns = client;
}

static inline int put(struct h *h, json_t *take_fields)
{
    eng_dns_account_put(h->engine, take_fields, &actor, h_on_done, h);
    json_decref(take_fields);
    return h_done(h);
}

static inline void account(struct h *h, const char *name, const char *domains)
{
    if (put(h, json_pack("{s:s,s:s,s:s,s:{s:s}}", "name", name, "kind", "webhook", "domains",
                         domains, "secrets", "token", "s3cret")) != 0)
        fail_msg("%s", h_line(h));
}

static inline size_t journal(struct h *h)
{
    CM_AUTO_JSON all = dns_journal(h->engine, NULL);
    return json_object_size(all);
}

static inline bool is_clean(struct h *h)
{
    return journal(h) == 0 && fake_all() == 0 && fake.active == 0;
}

static inline bool has_call(const char *text)
{
    return cm_json_has_str(fake.calls, text);
}
