/*
 * What became of the certificates lately, as a run of a renewal program prints it at its end:
 * issued, left alone, failed, and those whose settings cannot work.
 */
#pragma once

#include "certmgr/engine/engine.h"

#define REPORT_SLICE 100 /* credentials looked at in one turn of the loop */
#define REPORT_ROWS  200 /* rows of each list; the counts are of all */
#define REPORT_HOURS 24  /* the usual period */

/* report: {since, at, issued: {count, rows: [{credential, names, servers, target, keyring_file,
 * not_after, issued_at}]}, skipped: {count, next_at?}, failed: {count, rows: [{credential, names,
 * text, next_at?}]}, misconfigured: {count, rows: [{credential, names, text, fix?}]}, under_way:
 * {count}, ended: {count}}; NULL when the engine stops.  A credential is counted once, and among
 * the misconfigured besides. */
typedef void (*eng_report_fn)(void *arg, const json_t *report);
/* done once, never from inside. */
void eng_report(struct engine *engine, int64_t since_ms, eng_report_fn done, void *arg);
