/* Restoring: what is refused, and that nothing is left of it.  Anybody can seal a backup to the
 * recovery key, which is public, so what lies inside is not trusted. */
#include "tests/unit/fleet/support.h"

#include <errno.h>
#include <fcntl.h>

#include "certmgr/fleet/backup.h"
#include "certmgr/fleet/backup_entry.h"
#include "certmgr/fleet/bootstrap.h"
#include "certstore/env.h"
#include "keyfile/backup.h"
#include "keyfile/ossl.h"
#include "keyfile/seal.h"

#define NAME "alpha"

static struct {
    char dir[96];
    char *key_file, *path, *spki;
    struct config config;
    struct kf_backup_out *out;
    int fd;
    struct cm_err err;
} f;

static int setup(void **state)
{
    struct kf_secret pem;
    (void)state;
    memset(&f, 0, sizeof(f));
    f.err = CM_ERR_INIT;
    assert_non_null(scratch_dir(f.dir, sizeof(f.dir), "restore-test"));
    f.key_file = cm_asprintf("%s/recovery.key", f.dir);
    f.path = cm_asprintf("%s/backup", f.dir);
    snprintf(f.config.state_dir, sizeof(f.config.state_dir), "%s/state", f.dir);
    snprintf(f.config.conf_file, sizeof(f.config.conf_file), "%s/etc/certmgr.conf", f.dir);
    snprintf(f.config.name, sizeof(f.config.name), NAME);
    OK(kf_recovery_make(&pem, &f.spki, &f.err), f.err);
    OK(cm_file_write(f.key_file, pem.data, pem.len, 0600, &f.err), f.err);
    kf_secret_fini(&pem);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nftw(f.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cm_free(f.key_file);
    cm_free(f.path);
    cm_free(f.spki);
    cm_err_fini(&f.err);
    return 0;
}

/* ---- a backup, entry by entry ---- */

static void begin(const char *name)
{
    CM_AUTO_JSON about = json_pack("{s:s,s:s}", "name", name, "created_at", "2026-11-22T00:00:00Z");
    (void)unlink(f.path);
    f.fd = open(f.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(f.fd >= 0);
    OK(kf_backup_create(f.fd, f.spki, about, &f.out, &f.err), f.err);
}

static void raw(const void *data, size_t len)
{
    OK(kf_backup_write(f.out, data, len, &f.err), f.err);
}

static void head(const char *text)
{
    size_t len = strlen(text);
    const uint8_t length[2] = {(uint8_t)(len >> 8), (uint8_t)len};
    raw(length, sizeof(length));
    raw(text, len);
}

static void entry(const char *name, const char *text)
{
    CM_AUTO_STR line =
        cm_asprintf("{\"name\":\"%s\",\"size\":%zu}", name, text ? strlen(text) : (size_t)0);
    head(line);
    if (text)
        raw(text, strlen(text));
}

static void identity(const char *plain, size_t len)
{
    KF_AUTO(x509) X509 *recipient = NULL;
    uint8_t spki[KF_P256_SPKI_SIZE], *der = NULL;
    size_t der_len = 0;
    OK(kf_p256_spki_b64(f.spki, spki, &f.err), f.err);
    OK(kf_recipient(spki, sizeof(spki), &recipient, &f.err), f.err);
    OK(kf_seal(plain, len, &recipient, 1, &der, &der_len, &f.err), f.err);
    CM_AUTO_STR sealed = cm_b64(der, der_len);
    cm_free(der);
    entry(ENTRY_IDENTITY, sealed);
}

static void end(void)
{
    entry(ENTRY_END, NULL);
    OK(kf_backup_end(f.out, &f.err), f.err);
    kf_backup_out_free(f.out);
    close(f.fd);
}

/* ---- what comes of it ---- */

/* Refused with this reason, and nothing of it is left. */
static void refused(int code, const char *why)
{
    json_t *about = NULL;
    CM_AUTO_STR staged = cm_asprintf("%s.restoring", f.config.state_dir);
    cm_err_fini(&f.err);
    int rc = backup_restore(&f.config, f.path, f.key_file, &about, &f.err);
    char line[2048];
    cm_err_line(&f.err, line, sizeof(line));
    if (rc != code || !strstr(line, why))
        fail_msg("%d: %s", rc, line);
    json_decref(about);
    assert_false(cm_path_exists(staged));
    assert_false(cm_path_exists(f.config.conf_file));
}

static void identities_are_not_trusted(void **state)
{
    static const char *const bad[] = {
        "x\n\n",
        "x\nfile\n",
        "x\nfile: \n",
        "x\nfile: sign.key\n",
        "x\nfile: sign.key 1",
        "x\nfile: sign.key 5\nabc",
        "x\nfile: sign.key -1\nabc",
        "x\nfile: sign.key 1x\nabc",
        "x\nfile: sign.key \nabc",
        "x\nfile: sign.key 99999999999999999999\nabc",
        "x\nfile: ../../sign.key 3\nabc",
        "x\nfile: next/../sign.key 3\nabc",
        "x\nfile: next/next/sign.key 3\nabc",
        "x\nfile: trust.json 3\nabc",
        "x\nfile: a-name-that-is-far-too-long-for-any-of-them 3\nabc",
        "x\nfile: sign.key 3\nabcf",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin(NAME);
        identity(bad[i], strlen(bad[i]));
        end();
        refused(CM_EMALF, "the identity in the backup is damaged");
    }
    begin(NAME);
    entry(ENTRY_IDENTITY, "not base64!");
    end();
    refused(CM_EMALF, "the identity in the backup is damaged");
}

static void entries_are_not_trusted(void **state)
{
    static const struct {
        const char *head, *why;
    } bad[] = {
        {"{\"name\":\"../../etc/passwd\",\"size\":0}", "unknown entry \"../../etc/passwd\""},
        {"{\"name\":\"agent/sign.key\",\"size\":0}", "unknown entry"},
        {"{\"name\":\"tls/key.pem\",\"size\":-1}", "an entry of the backup is damaged"},
        {"{\"name\":\"tls/key.pem\"}", "an entry of the backup is damaged"},
        {"{\"name\":\"tls/key.pem\",\"size\":1048577}", "too large"},
        {"{\"name\":\"certmgr.conf\",\"size\":9007199254740991}", "too large"},
        {"{\"name\":\"store/data.mdb\",\"size\":9007199254740991}", "incomplete"},
        {"{\"size\":0}", "unknown entry"},
        {"[]", "damaged"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin(NAME);
        head(bad[i].head);
        end();
        refused(CM_EMALF + (strcmp(bad[i].why, "too large") == 0 ? CM_ELIMIT - CM_EMALF : 0),
                bad[i].why);
    }
    char name[ENTRY_HEAD_MAX + 8];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    begin(NAME);
    head(name);
    end();
    refused(CM_EMALF, "an entry of the backup is damaged");
}

static void all_parts_are_there(void **state)
{
    (void)state;
    begin(NAME);
    entry(ENTRY_TLS_CERT, "cert");
    entry(ENTRY_TLS_KEY, "key");
    entry(ENTRY_STORE, "store");
    end();
    refused(CM_EMALF, "the backup is incomplete");
    begin(NAME);
    end();
    refused(CM_EMALF, "the backup is incomplete");
}

/* Everything is there, but the store is none. */
static void a_damaged_store_is_not_put_in_place(void **state)
{
    (void)state;
    static const char text[] = "alpha\nfile: sign.key 3\nabcfile: seal.key 3\nabc";
    CM_AUTO_STR store = cm_malloc(16385);
    memset(store, 'x', 16384);
    store[16384] = '\0';
    begin(NAME);
    identity(text, strlen(text));
    entry(ENTRY_TLS_CERT, "cert");
    entry(ENTRY_TLS_KEY, "key");
    entry(ENTRY_CONFIG, "[server]\n");
    entry(ENTRY_STORE, store);
    end();
    refused(CM_EIO, "certificate store");
    assert_false(cm_path_exists(f.config.state_dir));
}

static void only_this_server_into_an_empty_place(void **state)
{
    (void)state;
    begin("beta");
    end();
    refused(CM_EINVAL, "the backup is of server \"beta\"");
    begin(NAME);
    end();
    CM_AUTO_STR there = cm_asprintf("%s/precious", f.config.state_dir);
    OK(cm_dir_make(f.config.state_dir, 0700, &f.err), f.err);
    OK(cm_file_write(there, "x", 1, 0600, &f.err), f.err);
    refused(CM_ECONFLICT, "is not empty");
    assert_true(cm_path_exists(there));
}

/* ---- a whole one ---- */

static struct server alpha, beta;

/* A manager with a server, an order under way and a session, backed up. */
static void back_up(bool damaged)
{
    struct cm_err err = CM_ERR_INIT;
    struct config config = {0};
    struct cs_result result;
    manager_init(&alpha, NAME);
    json_decref(must(
        agent_now(&alpha, json_pack("{s:s, s:s}", "op", "trust.recovery", "recovery", f.spki))));
    member_init(&beta, "beta", &alpha);
    CM_AUTO_JSON sealed = must(agent_now(&alpha, json_pack("{s:s}", "op", "backup.seal")));
    const json_t *trust = kf_trust_document(fleet_trust(beta.fleet));
    CM_AUTO_JSON row = json_pack("{s:s}", "x", "y");
    static const char *const tables[] = {"order", "session", "setup", "invite", "local", "steps"};
    OK(cs_kv_put(alpha.store, "state", "trust", trust, &err), err);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        OK(cs_kv_put(alpha.store, tables[i], "one", row, &err), err);
    CM_AUTO_JSON doc =
        signed_doc(&alpha, json_pack("{s:s, s:s, s:i, s:i}", "_id", "settings:a", "type",
                                     "settings", "serial", 7, "renew_days", damaged ? 1112 : 20));
    OK(cs_put(alpha.store, doc, &result, &err), err);
    OK(cs_commit(alpha.store, &err), err);
    CM_AUTO_STR copy = cm_asprintf("%s/copy", f.dir);
    OK(cs_copy(alpha.store, copy, &err), err);
    if (damaged) {
        char *bytes = NULL;
        size_t len = 0;
        OK(cm_file_read(copy, 64 << 20, &bytes, &len, &err), err);
        char *at = memmem(bytes, len, "\"renew_days\":1112", 17);
        assert_non_null(at);
        at[13] = '9';
        OK(cm_file_write(copy, bytes, len, 0600, &err), err);
        cm_free(bytes);
    }
    snprintf(config.state_dir, sizeof(config.state_dir), "%s", alpha.dir);
    snprintf(config.name, sizeof(config.name), NAME);
    snprintf(config.conf_file, sizeof(config.conf_file), "%s/certmgr.conf", alpha.dir);
    CM_AUTO_STR tls = cm_asprintf("%s/tls", alpha.dir);
    CM_AUTO_STR cert = cm_asprintf("%s/cert.pem", tls);
    CM_AUTO_STR key = cm_asprintf("%s/key.pem", tls);
    OK(cm_dir_make(tls, 0700, &err), err);
    OK(cm_file_write(cert, "cert", 4, 0644, &err), err);
    OK(cm_file_write(key, "key", 3, 0600, &err), err);
    OK(cm_file_write(config.conf_file, "[server]\n", 9, 0644, &err), err);
    CM_AUTO_JSON about = backup_about(alpha.store, NAME);
    const struct backup_parts parts = {.config = &config,
                                       .store_copy = copy,
                                       .sealed_identity = cm_json_str(sealed, "sealed"),
                                       .recovery = cm_json_str(sealed, "recovery"),
                                       .about = about};
    OK(backup_write(&parts, f.path, &err), err);
}

static void end_servers(void)
{
    server_fini(&beta);
    server_fini(&alpha);
}

static void verify_none(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    (void)arg;
    (void)body;
    (void)deleted;
    *ret = (struct cs_verdict){.valid = false};
}

static bool has_row(struct cs_store *store, const char *table)
{
    CM_AUTO_JSON row = cs_kv_get(store, table, "one");
    return row != NULL;
}

/* The same place, as it was; but another incarnation, on hold, without what was under way. */
static void what_is_restored(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *about = NULL;
    struct cs_store *store = NULL;
    char *text = NULL;
    back_up(false);
    OK(backup_restore(&f.config, f.path, f.key_file, &about, &err), err);
    assert_true(cm_json_has_str(cm_json_arr(about, "waiting"), "beta"));
    assert_null(json_object_get(about, "sealed_key"));
    json_decref(about);
    CM_AUTO_STR dir = cm_asprintf("%s/store", f.config.state_dir);
    CM_AUTO_STR key = cm_asprintf("%s/agent/sign.key", f.config.state_dir);
    CM_AUTO_STR old_key = cm_asprintf("%s/sign.key", alpha.config.dir);
    CM_AUTO_STR tls = cm_asprintf("%s/tls/key.pem", f.config.state_dir);
    char *old_text = NULL;
    OK(cm_file_read(key, 1 << 14, &text, NULL, &err), err);
    OK(cm_file_read(old_key, 1 << 14, &old_text, NULL, &err), err);
    assert_string_equal(text, old_text);
    cm_free_secret(text, strlen(text));
    cm_free_secret(old_text, strlen(old_text));
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(tls, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(cm_path_exists(f.config.conf_file));
    CM_AUTO_STR pinned = cm_asprintf("%s/agent/trust.json", f.config.state_dir);
    CM_AUTO_JSON trust = NULL;
    OK(cm_file_read(pinned, 1 << 20, &text, NULL, &err), err);
    OK(cm_json_parse(text, strlen(text), &trust, &err), err);
    assert_true(json_equal(trust, kf_trust_document(fleet_trust(beta.fleet))));
    cm_free(text);

    struct cs_opts opts = {.dir = dir, .policy = true, .verify = verify_none};
    OK(cs_open(&opts, &store, &err), err);
    assert_string_equal(cs_uuid(store), cs_uuid(alpha.store));
    assert_string_not_equal(cs_epoch(store), cs_epoch(alpha.store));
    CM_AUTO_JSON settings = cs_get_body(store, "settings:a");
    assert_int_equal(cm_json_int(settings, "renew_days", 0), 20);
    CM_AUTO_JSON hold = cs_kv_get(store, "state", "hold");
    assert_non_null(hold);
    assert_false(has_row(store, "order"));
    assert_false(has_row(store, "session"));
    assert_false(has_row(store, "setup"));
    assert_false(has_row(store, "invite"));
    assert_false(has_row(store, "local"));
    assert_true(has_row(store, "steps"));
    cs_close(store);
    end_servers();
}

static void a_store_with_one_wrong_byte_is_not_restored(void **state)
{
    (void)state;
    back_up(true);
    refused(CM_EIO, "the store in the backup is damaged");
    assert_false(cm_path_exists(f.config.state_dir));
    end_servers();
}

/* Never over another file, and never half of one. */
static void a_backup_is_whole_or_not_there(void **state)
{
    (void)state;
    struct config config = {0};
    CM_AUTO_STR part = cm_asprintf("%s.part", f.path);
    CM_AUTO_JSON about = json_pack("{s:s}", "name", NAME);
    const struct backup_parts parts = {.config = &config,
                                       .store_copy = f.key_file,
                                       .sealed_identity = "AA==",
                                       .recovery = f.spki,
                                       .about = about};
    snprintf(config.state_dir, sizeof(config.state_dir), "%s/nowhere", f.dir);
    assert_int_equal(backup_write(&parts, f.path, &f.err), CM_ENOENT);
    assert_non_null(strstr(f.err.what, "cert.pem"));
    assert_false(cm_path_exists(part));
    assert_false(cm_path_exists(f.path));
    cm_err_fini(&f.err);
    OK(cm_file_write(f.path, "precious", 8, 0600, &f.err), f.err);
    assert_int_equal(backup_write(&parts, f.path, &f.err), CM_ECONFLICT);
    assert_non_null(strstr(f.err.what, "exists already"));
    cm_err_fini(&f.err);
}

static int shrunk_fd = -1, empty_reads;

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);

/* Somebody shortens the first large file between two reads of it. */
ssize_t __wrap_read(int fd, void *buf, size_t size)
{
    ssize_t n = __real_read(fd, buf, size);
    if (shrunk_fd >= 0 && n == 0 && ++empty_reads > 100)
        fail_msg("read at its end again and again");
    if (shrunk_fd < 0 || n < 4096)
        return n;
    assert_int_equal(ftruncate(shrunk_fd, n / 2), 0);
    return n;
}

/* The backup that a person believes in has all bytes, or is not made. */
static void a_file_that_becomes_shorter_is_told(void **state)
{
    (void)state;
    struct config config = {0};
    CM_AUTO_STR part = cm_asprintf("%s.part", f.path);
    CM_AUTO_STR tls = cm_asprintf("%s/tls", f.dir);
    CM_AUTO_STR cert = cm_asprintf("%s/cert.pem", tls);
    CM_AUTO_STR key = cm_asprintf("%s/key.pem", tls);
    CM_AUTO_STR large = cm_calloc(1, 200000);
    CM_AUTO_JSON about = json_pack("{s:s}", "name", NAME);
    const struct backup_parts parts = {.config = &config,
                                       .store_copy = f.key_file,
                                       .sealed_identity = "AA==",
                                       .recovery = f.spki,
                                       .about = about};
    snprintf(config.state_dir, sizeof(config.state_dir), "%s", f.dir);
    OK(cm_dir_make(tls, 0700, &f.err), f.err);
    OK(cm_file_write(cert, large, 200000, 0644, &f.err), f.err);
    OK(cm_file_write(key, "key", 3, 0600, &f.err), f.err);
    empty_reads = 0;
    shrunk_fd = open(cert, O_WRONLY | O_CLOEXEC);
    int rc = backup_write(&parts, f.path, &f.err);
    close(shrunk_fd);
    shrunk_fd = -1;
    assert_int_equal(rc, CM_EIO);
    assert_non_null(strstr(f.err.what, "cert.pem: it became shorter"));
    assert_int_equal(empty_reads, 1);
    assert_false(cm_path_exists(part));
    assert_false(cm_path_exists(f.path));
}

/* Behind the end that its entries claim. */
static void nothing_follows_the_last_entry(void **state)
{
    (void)state;
    begin(NAME);
    entry(ENTRY_END, NULL);
    raw("more", 4);
    OK(kf_backup_end(f.out, &f.err), f.err);
    kf_backup_out_free(f.out);
    close(f.fd);
    refused(CM_EMALF, "holds more than it should");
}

/* ---- a disk that is full ---- */

#define LARGE 8192 /* the store has more bytes than that, everything else in a backup has fewer */

static bool no_room, no_page;

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __real_cs_kv_put(struct cs_store *store, const char *table, const char *key, const json_t *row,
                     struct cm_err *err);
int __wrap_cs_kv_put(struct cs_store *store, const char *table, const char *key, const json_t *row,
                     struct cm_err *err);

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (!no_room || len < LARGE)
        return __real_write(fd, bytes, len);
    errno = ENOSPC;
    return -1;
}

int __wrap_cs_kv_put(struct cs_store *store, const char *table, const char *key, const json_t *row,
                     struct cm_err *err)
{
    struct cs_env env = {.dir = f.dir};
    return no_page ? cs_env_fail(&env, ENOSPC, "cannot write", err)
                   : __real_cs_kv_put(store, table, key, row, err);
}

/* A store that serves goes on by itself when there is room; a restore is given again. */
static void a_full_disk_asks_for_the_command_again(void **state)
{
    (void)state;
    json_t *about = NULL;
    CM_AUTO_STR want =
        cm_asprintf("Free space on the file system of %s, then give the same command again.",
                    f.config.state_dir);
    back_up(false);
    for (int at = 0; at < 2; at++) {
        no_room = at == 0;
        no_page = at == 1;
        refused(CM_EFULL, at == 0 ? "cannot write the store" : "the disk of the certificate store");
        no_room = no_page = false;
        assert_string_equal(f.err.hint, want);
        assert_false(cm_path_exists(f.config.state_dir));
    }
    cm_err_fini(&f.err);
    OK(backup_restore(&f.config, f.path, f.key_file, &about, &f.err), f.err);
    json_decref(about);
    end_servers();
}

/* What has another remedy keeps it, and what is no full disk gets none. */
static void other_hints_stay(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    bootstrap_full_hint(f.dir, NULL);
    bootstrap_full_hint(f.dir, &err);
    assert_string_equal(err.hint, "");
    cm_fail(&err, CM_EFULL, "cannot write: the certificate store has reached its largest size");
    cm_err_hint(&err, "Delete what is no longer needed.");
    CM_AUTO_STR before = cm_strdup(err.hint);
    bootstrap_full_hint(f.dir, &err);
    assert_string_equal(err.hint, before);
    cm_err_fini(&err);
    cm_fail(&err, CM_EIO, "cannot write");
    bootstrap_full_hint(f.dir, &err);
    assert_string_equal(err.hint, "");
    cm_err_fini(&err);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(identities_are_not_trusted),
        T(entries_are_not_trusted),
        T(all_parts_are_there),
        T(a_damaged_store_is_not_put_in_place),
        T(only_this_server_into_an_empty_place),
        T(what_is_restored),
        T(a_store_with_one_wrong_byte_is_not_restored),
        T(a_file_that_becomes_shorter_is_told),
        T(nothing_follows_the_last_entry),
        T(a_backup_is_whole_or_not_there),
        T(a_full_disk_asks_for_the_command_again),
        T(other_hints_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
