/* LMDB's lock file (lock.mdb): its table of readers and two mutexes. */
#pragma once

#include "base/core/err.h"

#define CS_LOCK_BYTES 8192 /* as LMDB makes it: 126 readers */

/* Takes the blocks of the lock file, before LMDB writes into it through a map: on a full disk the
 * kernel would end the process there.  A lock file that has them is left alone, so that no lock of
 * this process is lost.  CM_EFULL with a hint; what else goes wrong is told when LMDB opens. */
int cs_lock_reserve(const char *dir, bool create, struct cm_err *err);
