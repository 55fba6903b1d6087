/*
 * View models: what pages and API show alike, as JSON.  Built from the store's effective documents;
 * secrets (sealed keys) are left out here, once.
 */
#pragma once

#include "web-ui/ctx.h"

#define VIEW_PAGE_ROWS  50
#define VIEW_CURSOR_MAX 1400 /* text of a paging cursor */
#define VIEW_ACCOUNTS   500
#define VIEW_SERVERS    3000

enum web_view { VIEW_HOST, VIEW_EXPIRY, VIEW_STATUS, VIEW_SERVER, VIEW_COUNT };

const char *web_view_name(enum web_view view);
/* By name; VIEW_HOST for NULL.  CM_EINVAL for an unknown one. */
int web_view_parse(const char *name, enum web_view *ret, struct cm_err *err);

/* A page of credentials: {view, credentials: [{id, key, host_names, …}], next: cursor or null}.
 * key: the host name, date, status or server under which the row stands.  after: cursor or NULL;
 * domain: with VIEW_HOST only names at or below it, or NULL.  CM_EINVAL for a cursor or domain that
 * is none. */
int web_list(struct cs_store *store, enum web_view view, const char *after, const char *domain,
             json_t **ret, struct cm_err *err);

/* ACME accounts by name: [{name, directory, contacts, …}] without sealed_key (owned). */
json_t *web_accounts(struct cs_store *store);
/* One of them (owned), NULL = absent. */
json_t *web_account(struct cs_store *store, const char *name);
/* Servers of the trust root: [{name, roles, state, url, ui_url, self, rotation?}] (owned). */
json_t *web_servers(const struct web *web);
/* One of them (owned), NULL = absent. */
json_t *web_server(const struct web *web, const char *name);
/* Is this server a standby at present? */
bool web_is_standby(const struct web *web);
/* Credentials by status: {"issued": n, …} (owned). */
json_t *web_status_counts(struct cs_store *store);
/* What the program reports about its services: listeners, peers, upstream (owned); may be NULL. */
json_t *web_services(const struct web *web);
/* The hold after a restore (hold_status(), owned); NULL = none. */
json_t *web_restore_hold(const struct web *web);
/* {server, version, manager, trust, store, credentials, task, quarantined} and the members of
 * web_services() (owned). */
json_t *web_status(const struct web *web);
