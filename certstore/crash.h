/*
 * When reading the store ends the process.
 *
 * LMDB believes its pages.  One that a failing disk has spoiled may lead it outside its map, or to
 * an assertion; then the process ends, whatever it was doing.  It should not end without a word,
 * and not again and again: a file beside the data tells the next start, which leaves out what reads
 * everything (scrub, copies) until "certmgr store check" found all in order.
 */
#pragma once

#include "base/core/err.h"

/* Where this thread is inside the store's reading. */
extern _Thread_local unsigned cs_reading;

/* An expression of type int during which cs_reading is set. */
#define CS_READING(expr)                                                                           \
    ({                                                                                             \
        cs_reading++;                                                                              \
        int reading_rc = (expr);                                                                   \
        cs_reading--;                                                                              \
        reading_rc;                                                                                \
    })

/* From now on a crash while reading is told on standard error and noted in this store directory.
 * One directory per process: the last one counts. */
void cs_crash_watch(const char *dir);
/* Did reading end a process before? */
bool cs_crash_noted(const char *dir);
/* All was read and is in order. */
void cs_crash_forget(const char *dir);
/* The refusal of what would read everything; CM_EIO. */
int cs_crash_refuse(struct cm_err *err);
/* The same as a problem for the list of the scrub. */
#define CS_CRASH_PROBLEM "Reading the certificate store has ended certmgr: it is damaged"
