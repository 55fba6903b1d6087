/*
 * From open conditions to events: what is new, worse, still open after a day, or over.  Pure.
 *
 * rows is the memory between two looks, {key: condition with opened_at, told_at}; it is what the
 * notifier keeps in the store, so that a restart repeats nothing.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* Compares rows with what is open now and brings rows up to date.  Returns the events (owned):
 * [{event: "open"|"worse"|"still"|"resolved", key, opened_at, resolved_at?, …condition}].
 * changed (an object) gets {key: row, or null when it is gone} for everything to be stored. */
json_t *notice_update(json_t *rows, const json_t *open, int64_t now_ms, int64_t remind_ms,
                      json_t *changed);
