/*
 * What can be said of a request before it is sent, without asking anybody: the kind of key that the
 * directory takes, the class that is paid for, names that end together, names that are missing,
 * records that nobody writes by itself.  Form, CLI and API say it at submit; a pre-flight check
 * begins with it; the page of a credential shows what contradicts itself.
 */
#pragma once

#include "certmgr/engine/engine.h"

/* Rows (owned) as of a pre-flight check (preflight.h), `add`: [names] where some are offered.
 * checked: fields as eng_check() returns them, or a credential.  credential: its ULID when it is
 * being changed, else NULL. */
json_t *eng_advice(struct engine *engine, const char *credential, const json_t *checked);

/* Of names proved by hand: so many of all, by this DNS account (id "by_hand"). */
void eng_advice_by_hand(json_t *rows, size_t count, size_t all, const char *account);
