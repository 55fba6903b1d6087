/*
 * What all orders of one CA account share: directory, nonces, the Retry-After floor, the account
 * URL.
 */
#pragma once

#include "certmgr/acme/directory.h"
#include "certmgr/acme/nonce.h"
#include "certmgr/acme/order.h"

/* A 429 may concern one set of names only ("5 per week"), so it never stops the other orders of the
 * account for longer than this; the order that got it honours the whole time. */
#define ACME_FLOOR_SHARED_MAX_MS INT64_C(3600000)

/* Newest orders whose URLs came through: what the list of orders holds besides may be a lost one.
 */
#define ACME_KNOWN_ORDERS 512

struct acme_ca {
    char *url; /* of the directory */
    struct acme_directory directory;
    struct acme_nonces nonces;
    int64_t floor_ms; /* wall clock: no run starts before; 0 = none */
    char *kid;        /* account URL as registered or found in this process */
    char *known[ACME_KNOWN_ORDERS];
    unsigned known_next;
    const struct acme_order
        *owner; /* the order that reads the directory or registers; others wait */
};

/* What the CA's directory said last; loaded == false: nothing yet (an acme_op of kind
 * ACME_OP_DIRECTORY reads it). */
const struct acme_directory *acme_ca_directory(const struct acme_ca *ca);
/* The CA asked (Retry-After) not to be called before until_ms. */
void acme_ca_pause(struct acme_ca *ca, int64_t until_ms);
/* An order of the account has this URL, and some job knows it. */
void acme_ca_know_order(struct acme_ca *ca, const char *url);
bool acme_ca_knows_order(const struct acme_ca *ca, const char *url);
