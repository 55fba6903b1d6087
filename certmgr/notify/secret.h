/* A secret in a file that local configuration names: read anew at each use, never kept. */
#pragma once

#include "base/core/err.h"

#define SECRET_FILE_MAX 1024 /* bytes */

/* The first line of the file.  It must be a regular file of root or of our own user that others
 * can neither read nor write (mode bits 0027 clear).  what: "the password of the mail relay".
 * *ret is freed with secret_free(). */
int secret_read(const char *path, const char *what, char **ret, struct cm_err *err);
void secret_free(char *secret); /* wipes; NULL allowed */
