/*
 * System calls of the store as tests want them: the k-th of a kind fails, or all are logged.
 *
 * The functions (pwrite, writev, fdatasync, …) stand in the test program itself; the dynamic linker
 * takes them for the LMDB library and the sanitizers' interceptors alike.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum shim_call { SHIM_WRITE, SHIM_SYNC, SHIM_TRUNCATE, SHIM_OPEN, SHIM_RENAME, SHIM_CALLS };
#define SHIM_SHORT (-1) /* instead of an errno: only a part is written */

/* The k-th (from 1) call of this kind fails with error, once; sticky: all from then on. */
void shim_fail(enum shim_call call, int64_t k, int error, bool sticky);
void shim_off(void);
/* Did the failure happen? */
bool shim_hit(void);

/* ---- log of one file's writes ---- */

enum shim_kind {
    SHIM_LOG_WRITE,
    SHIM_LOG_DSYNC_WRITE,
    SHIM_LOG_SYNC,
    SHIM_LOG_TRUNCATE,
    SHIM_LOG_MARK
};
struct shim_entry {
    enum shim_kind kind;
    off_t at; /* offset, new length, or the mark's number */
    size_t len;
    uint8_t *data;
};
/* Begins to log what happens to files whose name ends so. */
void shim_log(const char *name_end);
void shim_mark(int64_t number);
const struct shim_entry *shim_entries(size_t *ret_count);
