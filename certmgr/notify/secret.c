/* Owner and mode are checked on the open file, so nothing can be put in its place in between. */
#include "certmgr/notify/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/mem.h"

static int check(int fd, const char *path, const char *what, struct cm_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cm_fail_errno(err, errno, "%s: %s cannot be looked at", what, path);
    if (!S_ISREG(st.st_mode))
        return cm_fail(err, CM_EINVAL, "%s: %s is no regular file", what, path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 0027) != 0) {
        cm_fail(err, CM_EDENIED, "%s: %s is open to others", what, path);
        cm_err_hint(err, "Let it belong to root or to the user of certmgr, mode 0600 or 0640");
        return CM_EDENIED;
    }
    return 0;
}

static int read_line(int fd, const char *path, const char *what, char **ret, struct cm_err *err)
{
    char text[SECRET_FILE_MAX + 1];
    size_t len = 0;
    ssize_t n = 0;
    int rc = 0;
    while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) > 0)
        len += (size_t)n;
    if (n < 0)
        rc = cm_fail_errno(err, errno, "%s: %s cannot be read", what, path);
    else if (len == sizeof(text))
        rc = cm_fail(err, CM_ELIMIT, "%s: %s is longer than %d bytes", what, path, SECRET_FILE_MAX);
    size_t end = 0;
    while (end < len && text[end] != '\n' && text[end] != '\r' && text[end] != '\0')
        end++;
    if (rc == 0 && end == 0)
        rc = cm_fail(err, CM_EINVAL, "%s: %s begins with an empty line", what, path);
    if (rc == 0)
        *ret = cm_strndup(text, end);
    cm_wipe(text, sizeof(text));
    return rc;
}

int secret_read(const char *path, const char *what, char **ret, struct cm_err *err)
{
    *ret = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return cm_fail_errno(err, errno, "%s: %s cannot be opened", what, path);
    int rc = check(fd, path, what, err);
    if (rc == 0)
        rc = read_line(fd, path, what, ret, err);
    close(fd);
    return rc;
}

void secret_free(char *secret)
{
    if (secret)
        cm_free_secret(secret, strlen(secret));
}
