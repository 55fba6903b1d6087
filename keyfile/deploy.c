/* The stages of one agent, from a verified document to a committed generation. */
#include "keyfile/deploy.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "keyfile/place.h"

struct stage {
    char id[KF_STAGE_TEXT]; /* "" = free */
    char target[64];
    char keyring_file[KF_KEYRING_NAME_MAX + 1];
    char credential[CM_ULID_TEXT];
    struct kf_serial serial;
    int64_t generation, previous;
    bool swapped;
};

struct kf_deployer {
    struct stage stage[KF_STAGES_MAX];
    uint64_t next_id;
};

struct kf_deployer *kf_deployer_new(void)
{
    struct kf_deployer *d = cm_calloc(1, sizeof(*d));
    uint32_t start;
    cm_random(&start, sizeof(start)); /* an id of an earlier life names nothing in this one */
    d->next_id = (uint64_t)start << 16;
    return d;
}

void kf_deployer_free(struct kf_deployer *d)
{
    cm_free(d);
}

static struct stage *find(struct kf_deployer *d, const char *id)
{
    for (size_t i = 0; i < KF_STAGES_MAX; i++) {
        if (d->stage[i].id[0] && strcmp(d->stage[i].id, id) == 0)
            return &d->stage[i];
    }
    return NULL;
}

static int open_place(const struct kf_deploy_env *env, const char *target_name,
                      const char *keyring_file, struct kf_place *ret, struct cm_err *err)
{
    const struct kf_target *target = kf_target_find(env->config, target_name, err);
    return target ? kf_place_open(target, keyring_file, ret, err) : CM_EDENIED;
}

/* A newer stage of the same keyring takes the place of one that nobody finished. */
static void supersede(struct kf_deployer *d, const struct kf_place *place)
{
    for (size_t i = 0; i < KF_STAGES_MAX; i++) {
        struct stage *s = &d->stage[i];
        if (!s->id[0] || strcmp(s->target, place->target->name) != 0 ||
            strcmp(s->keyring_file, place->keyring_file) != 0)
            continue;
        if (!s->swapped)
            kf_place_remove(place, s->generation, NULL);
        s->id[0] = '\0';
    }
}

static struct stage *take_free(struct kf_deployer *d, struct cm_err *err)
{
    for (size_t i = 0; i < KF_STAGES_MAX; i++) {
        struct stage *s = &d->stage[i];
        if (s->id[0])
            continue;
        *s = (struct stage){0};
        return s;
    }
    cm_fail(err, CM_EBUSY, "%d deployments are staged and not finished", KF_STAGES_MAX);
    return NULL;
}

/* Two credentials may want one keyring file.  The one signed later has it; the other is refused
 * instead of taking turns with it at every look. */
static int check_owner(const struct kf_place *place, int64_t current, const struct kf_keyfile *k,
                       struct cm_err *err)
{
    CM_AUTO_JSON meta = NULL;
    if (current == 0 || kf_place_meta(place, current, &meta, NULL) < 0)
        return 0;
    const char *owner = cm_json_str_or(meta, "credential", "");
    if (strcmp(owner, k->credential) == 0 || cm_json_int(meta, "serial", 0) < k->serial.serial)
        return 0;
    cm_fail(err, CM_ECONFLICT, "%s in target %s belongs to credential:%.40s, which is newer",
            place->keyring_file, place->target->name, owner);
    cm_err_hint(err, "Give one of the two credentials another keyring file name.");
    return CM_ECONFLICT;
}

static json_t *meta_of(const struct kf_keyfile *k)
{
    json_t *meta = json_object();
    cm_json_set_str(meta, "credential", k->credential);
    cm_json_set_int(meta, "serial", k->serial.serial);
    cm_json_set_str(meta, "fingerprint", k->fingerprint);
    cm_json_set_str(meta, "public_key_sha256", k->public_key);
    return meta;
}

static void fill_reply(json_t *reply, const char *id, bool changed, const struct kf_keyfile *k,
                       const struct kf_place *place, const struct kf_file *files, size_t count)
{
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++) {
        bool kyr = strcmp(files[i].name, k->keyring_file) == 0;
        CM_AUTO_STR name =
            kyr ? cm_strdup(files[i].name) : cm_asprintf("%s/%s", place->name, files[i].name);
        json_array_append_new(names, json_string(name));
    }
    cm_json_set_str(reply, "stage", id);
    cm_json_set_bool(reply, "changed", changed);
    cm_json_set_str(reply, "fingerprint", k->fingerprint);
    cm_json_set(reply, "files", names);
}

static int write_stage(struct kf_deployer *d, const struct kf_place *place,
                       const struct kf_keyfile *k, const struct kf_file *files, size_t count,
                       int64_t current, const char **ret_id, struct cm_err *err)
{
    supersede(d, place);
    struct stage *s = take_free(d, err);
    if (!s)
        return CM_EBUSY;
    CM_AUTO_JSON meta = meta_of(k);
    int rc = kf_place_write(place, files, count, meta, &s->generation, err);
    if (rc < 0)
        return rc;
    s->previous = current;
    s->serial = k->serial;
    cm_strcpy(s->credential, sizeof(s->credential), k->credential);
    cm_strcpy(s->target, sizeof(s->target), place->target->name);
    cm_strcpy(s->keyring_file, sizeof(s->keyring_file), place->keyring_file);
    snprintf(s->id, sizeof(s->id), "%llx", (unsigned long long)++d->next_id);
    *ret_id = s->id;
    return 0;
}

static int stage_at(struct kf_deployer *d, const struct kf_deploy_env *env,
                    const struct kf_place *place, const struct kf_keyfile *k, json_t *reply,
                    struct cm_err *err)
{
    struct kf_material material = {
        .key = k->key.data, .leaf = k->leaf, .intermediates = k->intermediates, .root = k->root};
    struct kf_file files[KF_KEYRING_FILES_MAX];
    size_t count = kf_keyring_files(&material, place->keyring_file, place->target->kyr,
                                    place->target->pem, files);
    int64_t current;
    int rc = kf_place_current(place, &current, err);
    if (rc == 0)
        rc = check_owner(place, current, k, err);
    if (rc < 0)
        return rc;
    const char *id = KF_STAGE_UNCHANGED;
    bool changed = current == 0 || !kf_place_intact(place, current, files, count);
    if (changed) {
        rc = write_stage(d, place, k, files, count, current, &id, err);
    } else {
        supersede(d, place);
        rc = kf_serial_put(env->config->dir, k->credential, &k->serial, err);
    }
    if (rc == 0)
        fill_reply(reply, id, changed, k, place, files, count);
    return rc;
}

int kf_deploy_stage(struct kf_deployer *d, const struct kf_deploy_env *env, const json_t *document,
                    const char *target, json_t *reply, struct cm_err *err)
{
    struct kf_keyfile keyfile;
    struct kf_place place;
    int rc = kf_target_find(env->config, target, err) ? 0 : CM_EDENIED;
    if (rc == 0)
        rc = kf_keyfile_verify(env, document, target, cm_now_ms(), &keyfile, err);
    if (rc < 0)
        return rc;
    rc = open_place(env, target, keyfile.keyring_file, &place, err);
    if (rc == 0) {
        rc = stage_at(d, env, &place, &keyfile, reply, err);
        kf_place_close(&place);
    }
    kf_keyfile_fini(&keyfile);
    return rc;
}

/* The stage and its place.  A stage with nothing to change is named by a constant: 1. */
static int enter(struct kf_deployer *d, const struct kf_deploy_env *env, const char *id,
                 struct stage **ret, struct kf_place *place, struct cm_err *err)
{
    if (strcmp(id, KF_STAGE_UNCHANGED) == 0)
        return 1;
    *ret = find(d, id);
    if (!*ret) {
        cm_fail(err, CM_ENOENT, "stage \"%.40s\" is unknown; stage the document again", id);
        return CM_ENOENT;
    }
    return open_place(env, (*ret)->target, (*ret)->keyring_file, place, err);
}

int kf_deploy_swap(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                   json_t *reply, struct cm_err *err)
{
    struct stage *s;
    struct kf_place place;
    int rc = enter(d, env, stage, &s, &place, err);
    if (rc != 0) {
        cm_json_set_int(reply, "previous", 0);
        return rc < 0 ? rc : 0;
    }
    s->swapped = true; /* also when it fails half-way: a roll-back then goes back for certain */
    rc = kf_place_swap(&place, s->generation, err);
    kf_place_close(&place);
    cm_json_set_int(reply, "previous", s->previous);
    return rc;
}

int kf_deploy_rollback(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                       struct cm_err *err)
{
    struct stage *s;
    struct kf_place place;
    int rc = enter(d, env, stage, &s, &place, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (s->swapped)
        rc = kf_place_swap(&place, s->previous, err);
    if (rc == 0)
        rc = kf_place_remove(&place, s->generation, err);
    kf_place_close(&place);
    if (rc == 0)
        s->id[0] = '\0';
    return rc;
}

int kf_deploy_commit(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                     struct cm_err *err)
{
    struct stage *s;
    struct kf_place place;
    int rc = enter(d, env, stage, &s, &place, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = s->swapped ? kf_serial_put(env->config->dir, s->credential, &s->serial, err)
                    : cm_fail(err, CM_EINVAL, "stage %s was not swapped in yet", stage);
    if (rc == 0) {
        /* Old generations that stay are no reason to call a finished deployment failed. */
        struct cm_err prune_err = CM_ERR_INIT;
        if (kf_place_prune(&place, &prune_err) < 0)
            cm_log_err(CM_LOG_WARN, "deploy", &prune_err);
        cm_err_fini(&prune_err);
        s->id[0] = '\0';
    }
    kf_place_close(&place);
    return rc;
}
