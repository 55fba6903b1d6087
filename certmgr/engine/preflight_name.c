/*
 * One name of a pre-flight check: where its challenge would be written, whether CAA lets the CA
 * issue, and, for HTTP-01, what each of its addresses answers to a probe (the CA's redirect rules
 * and all: certmgr/challenge/fetch.h).
 */
#include <string.h>

#include "base/net/hostname.h"
#include "certmgr/acme/proof.h"
#include "certmgr/challenge/challenge.h"
#include "certmgr/challenge/probe.h"
#include "certmgr/engine/preflight_run.h"

static void next_address(struct pf_name *name);

static bool is_wildcard(const struct pf_name *name)
{
    return name->host != name->name;
}

static const json_t *account_of(const struct pf_name *name)
{
    return name->pf->account->body;
}

/* The last cause says most about a failed fetch. */
static const char *because(const struct cm_err *err)
{
    return err->cause_count > 0 ? err->cause[err->cause_count - 1] : "";
}

/* ---- addresses ----------------------------------------------------------------------------------
 */

static void on_fetched(void *arg, const struct ch_fetch_end *end)
{
    struct pf_name *name = arg;
    const char *address = name->address[name->at];
    name->fetch = NULL;
    if (end->served) {
        pf_row(name->rows, name->name, "address_ok", PF_OK, NULL,
               "%s answers on %s, port %d, as a server of this fleet", name->host, address,
               (int)cm_json_int(account_of(name), "http_port", 80));
    } else if (end->no_route && strchr(address, ':')) {
        pf_row(name->rows, name->name, "address_no_route", PF_WARN, NULL,
               "This server has no route to %s of %s: it could not look", address, name->host);
    } else {
        pf_row(name->rows, name->name, "address_bad", PF_FAIL, end->err->hint, "%.380s%s%.120s",
               end->err->what, because(end->err)[0] ? ": " : "", because(end->err));
    }
    name->at++;
    next_address(name);
}

static void next_address(struct pf_name *name)
{
    struct eng_env *env = &name->pf->engine->env;
    struct cm_err err = CM_ERR_INIT;
    if (name->at == name->address_count) {
        pf_name_over(name);
        return;
    }
    struct ch_fetch_opts opts = {
        .http = env->http,
        .dns = env->dns,
        .host = name->host,
        .token = name->token,
        .answer = name->answer,
        .address = name->address[name->at],
        .address_first = name->address_count > 1 && name->at == 0,
        .port = (int)cm_json_int(account_of(name), "http_port", 80),
    };
    name->fetch = ch_fetch(&opts, on_fetched, name, &err);
    if (!name->fetch) {
        pf_row(name->rows, name->name, "address_bad", PF_FAIL, err.hint, "%s", err.what);
        pf_name_over(name);
    }
    cm_err_fini(&err);
}

static void on_addresses(void *arg, const char *const *addrs, size_t count,
                         const struct cm_err *err)
{
    struct pf_name *name = arg;
    name->query = NULL;
    if (count == 0) {
        pf_row(name->rows, name->name, "address_none", PF_FAIL, NULL, "%s has no address%s%s",
               name->host, err ? ": " : "", err ? err->what : "");
        pf_name_over(name);
        return;
    }
    if (strcmp(name->challenge, ACME_HTTP01) != 0) {
        pf_row(name->rows, name->name, "address_later", PF_OK, NULL,
               "%s has %zu addresses, the first is %s; what they answer to TLS-ALPN-01 is looked "
               "at before the CA is told",
               name->host, count, addrs[0]);
        pf_name_over(name);
        return;
    }
    for (size_t i = 0; i < count && name->address_count < PREFLIGHT_ADDRESSES; i++)
        if (cm_strcpy(name->address[name->address_count], sizeof(name->address[0]), addrs[i]) == 0)
            name->address_count++;
    ch_probe_token(name->token);
    name->answer = ch_probe_answer(name->pf->engine->env.store, name->token);
    next_address(name);
}

static void ask_addresses(struct pf_name *name)
{
    struct dns_client *dns = name->pf->engine->env.dns;
    if (!name->challenge || strcmp(name->challenge, ACME_DNS01) == 0 || !dns)
        pf_name_over(name);
    else
        name->query = dns_addrs(dns, name->host, on_addresses, name);
}

/* ---- CAA ----------------------------------------------------------------------------------------
 */

static void ask_caa(struct pf_name *name);

/* What CAA says to one CA: the first one's answer is the request's, the others' are for later. */
static void on_caa(void *arg, const json_t *found, const struct cm_err *err)
{
    struct pf_name *name = arg;
    const struct pf_ca *ca = &name->pf->cas[name->ca];
    const char *at = cm_json_str(found, "at");
    const char *who = name->ca ? ca->account->name : "";
    const char *colon = name->ca ? ": " : "";
    enum pf_result bad = name->ca ? PF_WARN : PF_FAIL;
    name->caa = NULL;
    if (err && err->code == CM_EDENIED)
        pf_row(name->rows, name->name, "caa_denied", bad, err->hint, "%s%s%s", who, colon,
               err->what);
    else if (err)
        pf_row(name->rows, name->name, "caa_failed", bad, err->hint, "%s%s%.300s%s%.120s", who,
               colon, err->what, because(err)[0] ? ": " : "", because(err));
    else if (at && json_array_size(ca->identities) == 0)
        pf_row(name->rows, name->name, "caa_unknown", PF_WARN, NULL,
               "%s%sThere are CAA records at %s, and nobody knows this CA's CAA names", who, colon,
               at);
    else
        pf_row(name->rows, name->name, "caa_ok", PF_OK, NULL,
               at ? "%s%sThe CAA records at %s let the CA issue"
                  : "%s%sNo CAA record%s limits who may "
                    "issue",
               who, colon, at ? at : "");
    name->ca++;
    ask_caa(name);
}

/* The CA of the account, then those that are asked when it fails. */
static void ask_caa(struct pf_name *name)
{
    struct eng_env *env = &name->pf->engine->env;
    if (!env->dns || hostname_is_ip(name->name) || name->ca == name->pf->ca_count) {
        ask_addresses(name);
        return;
    }
    const struct pf_ca *ca = &name->pf->cas[name->ca];
    struct caa_question question = {
        .name = name->name,
        .identities = ca->identities,
        .account_uri = cm_json_str(ca->account->body, "kid"),
        .method = name->challenge,
    };
    name->caa = caa_check(env->loop, env->dns, &question, on_caa, name);
}

/* ---- the challenge ------------------------------------------------------------------------------
 */

static const char *usual_type(const struct pf_name *name)
{
    const char *type = cm_json_str(name->pf->fields, "challenge");
    if (!type)
        type = cm_json_str(account_of(name), "challenge");
    return type && strcmp(type, ACME_TLSALPN) == 0 ? ACME_TLSALPN : ACME_HTTP01;
}

static void choose(struct pf_name *name, const struct dns_place *place)
{
    CM_AUTO_JSON choice = eng_choose_dns(name->pf->engine, name->name, place);
    if (choice) {
        const char *account = cm_json_str_or(choice, "account", "");
        name->challenge = ACME_DNS01;
        (void)cm_strcpy(name->account, sizeof(name->account), account);
        pf_row(name->rows, name->name, "challenge_ok", PF_OK, NULL,
               "dns-01: the DNS account %s covers %s", account, cm_json_str_or(choice, "fqdn", ""));
    } else if (is_wildcard(name)) {
        name->challenge = NULL;
        pf_row(name->rows, name->name, "challenge_none", PF_FAIL, NULL,
               "%s can be proved by dns-01 only, and no DNS account covers %s", name->name,
               place && place->hops > 0 ? place->name : name->host);
    } else {
        name->challenge = usual_type(name);
        pf_row(name->rows, name->name, "challenge_ok", PF_OK, NULL, "%s: %s", name->challenge,
               cm_json_str(name->pf->fields, "challenge")   ? "chosen in the request"
               : cm_json_str(account_of(name), "challenge") ? "chosen in the ACME account"
                                                            : "no DNS account covers the name");
    }
    ask_caa(name);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct pf_name *name = arg;
    name->find = NULL;
    if (err) {
        pf_row(name->rows, name->name, "cname_broken", PF_WARN, err->hint, "%.380s%s%.120s",
               err->what, because(err)[0] ? ": " : "", because(err));
        place = NULL;
    } else if (place->hops > 0) {
        pf_row(name->rows, name->name, "cname_ok", PF_OK, NULL,
               "_acme-challenge.%s is a CNAME: the value is written at %s (zone %s)", name->host,
               place->name, place->zone);
    }
    choose(name, place);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

void pf_name_start(struct pf_name *name)
{
    struct engine *engine = name->pf->engine;
    char owner[DNS_OWNER_TEXT];
    name->started = true;
    bool ask = engine->env.dns && !hostname_is_ip(name->name) &&
               (eng_dns_any(engine) || is_wildcard(name));
    if (!ask) {
        choose(name, NULL);
        return;
    }
    eng_dns_owner(name->name, owner);
    struct eng_dns_account *account = eng_dns_cover(engine, owner);
    name->find =
        dns_place_find(engine->env.loop, account ? eng_dns_resolver(account) : engine->env.dns,
                       owner, on_place, name);
}

void pf_name_stop(struct pf_name *name)
{
    dns_place_cancel(name->find);
    caa_cancel(name->caa);
    dns_cancel(name->query);
    ch_fetch_cancel(name->fetch);
    json_decref(name->rows);
    cm_free(name->answer);
    *name = (struct pf_name){.over = true};
}
