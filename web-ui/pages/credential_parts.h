/* Sections of the credential's page; each writes one card, or nothing when it has nothing to show.
 */
#pragma once

#include "web-ui/ctx.h"

/* <section class="card"> with its title; close it with </section>. */
void part_begin(struct cm_buf *page, const char *id, const char *title);
/* fields: the credential's body, or those of its request until it exists. */
void part_host_names(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields);
void part_facts(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields,
                const json_t *request);
void part_servers(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields,
                  const json_t *receipts);
void part_certificate(struct web_ctx *ctx, struct cm_buf *page, const json_t *credential);
void part_steps(struct web_ctx *ctx, struct cm_buf *page, const json_t *steps);
void part_history(struct web_ctx *ctx, struct cm_buf *page, const json_t *history);
/* The receipt of a server for the certificate with this fingerprint, or its latest one; NULL. */
const json_t *part_receipt_of(const json_t *receipts, const char *server);
/* Has this server said its last word about this certificate? */
bool part_receipt_final(const json_t *receipt, const char *fingerprint);
