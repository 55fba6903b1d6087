/* The memory against rollback. */
#include "keyfile/serials.h"

#include <string.h>

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#define FILE_MAX 1024

int kf_serial_get(const char *dir, const char *credential, struct kf_serial *ret,
                  struct cm_err *err)
{
    *ret = (struct kf_serial){0};
    if (!cm_ulid_ok(credential))
        return cm_fail(err, CM_EMALF, "\"%.40s\" is not the ULID of a credential", credential);
    CM_AUTO_STR path = cm_asprintf("%s/serials/%s.json", dir, credential);
    if (!cm_path_exists(path))
        return 0;
    char *text;
    size_t len;
    CM_AUTO_JSON obj = NULL;
    int rc = cm_file_read(path, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = cm_json_parse(text, len, &obj, err);
    cm_free(text);
    ret->serial = cm_json_int(obj, "serial", 0);
    if (rc == 0 && (ret->serial < 1 || cm_strcpy(ret->digest, sizeof(ret->digest),
                                                 cm_json_str_or(obj, "digest", "")) < 0))
        rc = cm_fail(err, CM_EMALF, "no serial in it");
    /* Never taken for "nothing deployed yet": that would let an old document in. */
    return rc < 0 ? cm_wrap(err, rc, "rollback memory %s is damaged", path) : 0;
}

int kf_serial_put(const char *dir, const char *credential, const struct kf_serial *serial,
                  struct cm_err *err)
{
    struct kf_serial before;
    int rc = kf_serial_get(dir, credential, &before, err);
    if (rc < 0)
        return rc;
    if (before.serial > serial->serial ||
        (before.serial == serial->serial && strcmp(before.digest, serial->digest) == 0))
        return 0;
    CM_AUTO_STR sub = cm_asprintf("%s/serials", dir);
    CM_AUTO_STR path = cm_asprintf("%s/serials/%s.json", dir, credential);
    CM_AUTO_JSON obj = json_object();
    cm_json_set_int(obj, "serial", serial->serial);
    cm_json_set_str(obj, "digest", serial->digest);
    size_t len;
    CM_AUTO_STR text = cm_json_dump(obj, &len);
    if (!cm_path_exists(sub)) {
        rc = cm_dir_make(sub, 0700, err);
        if (rc == 0)
            rc = cm_dir_sync(dir, err);
    }
    return rc < 0 ? rc : cm_file_write(path, text, len, 0600, err);
}
