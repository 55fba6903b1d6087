/* Files: whole reads with a cap, atomic writes, directories. */
#pragma once

#include "base/core/buf.h"
#include "base/core/err.h"
#include <sys/types.h>

/* Reads a whole regular file of at most max bytes; *ret is NUL-terminated (cm_free). */
int cm_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct cm_err *err);
/* Temp file in the same directory + fsync + rename + fsync of the directory. */
int cm_file_write(const char *path, const void *data, size_t len, mode_t mode, struct cm_err *err);
/* mkdir -p; new directories get mode.  An existing directory is success. */
int cm_dir_make(const char *path, mode_t mode, struct cm_err *err);
/* Removes what cm_file_write() has left of a process that was killed: ".<name>.<16 hex
 * digits>.tmp". Only where nobody else writes; what cannot be removed stays. */
void cm_dir_tidy(const char *path);
int cm_dir_sync(const char *path, struct cm_err *err);
bool cm_path_exists(const char *path);
