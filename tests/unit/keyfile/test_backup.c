/* The backup file and the recovery key: what opens it, and everything that must not. */
#include "agent_support.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "keyfile/backup.h"
#include "keyfile/identity.h"

static struct {
    char *dir, *path, *spki;
    EVP_PKEY *key;
    struct cm_err err;
} f;

static int setup(void **state)
{
    struct kf_secret pem;
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    f.path = cm_asprintf("%s/backup", f.dir);
    CM_AUTO_STR file = cm_asprintf("%s/recovery.key", f.dir);
    OK(kf_recovery_make(&pem, &f.spki, &f.err), f.err);
    OK(cm_file_write(file, pem.data, pem.len, 0600, &f.err), f.err);
    kf_secret_fini(&pem);
    OK(kf_recovery_load(file, &f.key, &f.err), f.err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_recovery_free(f.key);
    cm_free(f.spki);
    cm_free(f.path);
    cm_err_fini(&f.err);
    remove_dir(f.dir);
    return 0;
}

static uint8_t at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 11));
}

/* A backup with len bytes; returns nothing, fails the test instead. */
static void make(size_t len)
{
    struct kf_backup_out *out;
    int fd = open(f.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CM_AUTO_JSON about = json_pack("{s:s}", "name", "manager");
    assert_true(fd >= 0);
    OK(kf_backup_create(fd, f.spki, about, &out, &f.err), f.err);
    uint8_t *data = cm_malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        data[i] = at(i);
    for (size_t i = 0; i < len; i += 5000)
        OK(kf_backup_write(out, data + i, len - i < 5000 ? len - i : 5000, &f.err), f.err);
    OK(kf_backup_end(out, &f.err), f.err);
    kf_backup_out_free(out);
    cm_free(data);
    close(fd);
}

/* Reads len bytes and the end; the first failure's code. */
static int read_back(size_t len)
{
    struct kf_backup_in *in = NULL;
    int fd = open(f.path, O_RDONLY);
    uint8_t *data = cm_malloc(len + 1);
    cm_err_fini(&f.err);
    int rc = kf_backup_open(fd, f.key, &in, &f.err);
    if (rc == 0)
        rc = kf_backup_read(in, data, len, &f.err);
    for (size_t i = 0; rc == 0 && i < len; i++)
        assert_int_equal(data[i], at(i));
    if (rc == 0)
        rc = kf_backup_done(in, &f.err);
    kf_backup_in_free(in);
    cm_free(data);
    close(fd);
    return rc;
}

static int verify(void)
{
    json_t *header = NULL;
    int fd = open(f.path, O_RDONLY);
    cm_err_fini(&f.err);
    int rc = kf_backup_verify(fd, &header, &f.err);
    if (rc == 0)
        assert_string_equal(cm_json_str(header, "name"), "manager");
    json_decref(header);
    close(fd);
    return rc;
}

static void comes_back(void **state)
{
    static const size_t sizes[] = {
        0, 1, 4999, KF_BACKUP_FRAME - 1, KF_BACKUP_FRAME, KF_BACKUP_FRAME + 1, 3 * KF_BACKUP_FRAME};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        make(sizes[i]);
        OK(read_back(sizes[i]), f.err);
        OK(verify(), f.err);
    }
}

/* Every kind of damage is noticed with the key, and without it by the checksum. */
static void every_damage_is_noticed(void **state)
{
    const size_t len = 2 * KF_BACKUP_FRAME + 100;
    char *good = NULL;
    size_t size = 0;
    (void)state;
    make(len);
    OK(cm_file_read(f.path, 1 << 20, &good, &size, &f.err), f.err);
    for (size_t i = 0; i < size; i += i < 1500 ? 7 : 997) {
        good[i] ^= 0x10;
        OK(cm_file_write(f.path, good, size, 0600, &f.err), f.err);
        assert_true(verify() < 0);
        assert_true(read_back(len) < 0);
        good[i] ^= 0x10;
    }
    for (size_t cut = 1; cut < size; cut += cut < 50 ? 1 : 4001) {
        OK(cm_file_write(f.path, good, size - cut, 0600, &f.err), f.err);
        assert_true(verify() < 0);
        assert_true(read_back(len) < 0);
    }
    cm_free(good);
}

/* ---- by somebody who can make the checksum fit ---- */

#define SUM CM_SHA256_SIZE

static uint32_t u32_at(const char *at)
{
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void set_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (24 - 8 * i));
}

/* Writes the first len bytes with a checksum that fits. */
static void write_summed(const char *bytes, size_t len)
{
    CM_AUTO_STR all = cm_malloc(len + SUM);
    memcpy(all, bytes, len);
    cm_sha256(bytes, len, (uint8_t *)all + len);
    OK(cm_file_write(f.path, all, len + SUM, 0600, &f.err), f.err);
}

/* The file, its size without the checksum, and where its first frame begins. */
static char *made(size_t len, size_t *ret_size, size_t *ret_frame)
{
    char *bytes = NULL;
    make(len);
    OK(cm_file_read(f.path, 1 << 20, &bytes, ret_size, &f.err), f.err);
    *ret_size -= SUM;
    *ret_frame = 17 + 4 + u32_at(bytes + 17);
    return bytes;
}

static void a_stream_cannot_be_ended_early(void **state)
{
    size_t size, frame;
    (void)state;
    CM_AUTO_STR bytes = made(2 * KF_BACKUP_FRAME + 100, &size, &frame);
    assert_int_equal(u32_at(bytes + frame), KF_BACKUP_FRAME);
    set_u32(bytes + frame, KF_BACKUP_FRAME | 0x80000000u);
    write_summed(bytes, frame + 4 + KF_BACKUP_FRAME + 16);
    OK(verify(), f.err); /* all that can be said without the key */
    assert_int_equal(read_back(KF_BACKUP_FRAME), CM_EMALF);
    assert_non_null(strstr(f.err.what, "was changed"));
}

static void nothing_stands_behind_the_end(void **state)
{
    size_t size;
    char *whole = NULL;
    (void)state;
    make(100);
    OK(cm_file_read(f.path, 1 << 20, &whole, &size, &f.err), f.err);
    CM_AUTO_STR longer = cm_malloc(size + 1);
    memcpy(longer, whole, size);
    longer[size] = 'x';
    cm_free(whole);
    OK(cm_file_write(f.path, longer, size + 1, 0600, &f.err), f.err);
    assert_int_equal(verify(), CM_EMALF);
    assert_non_null(strstr(f.err.what, "behind the end"));
    assert_int_equal(read_back(100), CM_EMALF);
}

static void lengths_are_bounded(void **state)
{
    static const uint32_t frames[] = {KF_BACKUP_FRAME + 1, 0x7fffffffu, 0xffffffffu};
    static const uint32_t headers[] = {0, KF_BACKUP_HEADER_MAX + 1, 0xffffffffu};
    size_t size, frame;
    (void)state;
    CM_AUTO_STR bytes = made(100, &size, &frame);
    uint32_t honest = u32_at(bytes + frame);
    for (size_t i = 0; i < 3; i++) {
        set_u32(bytes + frame, frames[i]);
        write_summed(bytes, size);
        assert_int_equal(verify(), CM_EMALF);
        assert_string_equal(f.err.what, "the backup is damaged");
        assert_int_equal(read_back(100), CM_EMALF);
        assert_string_equal(f.err.what, "the backup is damaged");
    }
    set_u32(bytes + frame, honest);
    for (size_t i = 0; i < 3; i++) {
        set_u32(bytes + 17, headers[i]);
        write_summed(bytes, size);
        assert_int_equal(verify(), CM_EMALF);
        assert_string_equal(f.err.what, "the backup's header is damaged");
    }
}

/* Who stops reading early has not read what was backed up. */
static void it_is_read_to_its_end(void **state)
{
    (void)state;
    make(KF_BACKUP_FRAME + 100);
    assert_int_equal(read_back(KF_BACKUP_FRAME + 99), CM_EMALF);
    assert_non_null(strstr(f.err.what, "more than it should"));
    assert_int_equal(read_back(KF_BACKUP_FRAME + 101), CM_EMALF);
    assert_non_null(strstr(f.err.what, "incomplete"));
}

static void a_full_disk_is_called_by_its_name(void **state)
{
    struct kf_backup_out *out = NULL;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CM_AUTO_JSON about = json_pack("{s:s}", "name", "manager");
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(kf_backup_create(fd, f.spki, about, &out, &f.err), CM_EFULL);
    assert_non_null(strstr(f.err.what, "no room for the backup"));
    assert_null(out);
    close(fd);
}

static void another_key_opens_nothing(void **state)
{
    struct kf_secret pem;
    char *spki = NULL;
    (void)state;
    make(100);
    CM_AUTO_STR file = cm_asprintf("%s/other.key", f.dir);
    OK(kf_recovery_make(&pem, &spki, &f.err), f.err);
    OK(cm_file_write(file, pem.data, pem.len, 0600, &f.err), f.err);
    kf_secret_fini(&pem);
    cm_free(spki);
    kf_recovery_free(f.key);
    OK(kf_recovery_load(file, &f.key, &f.err), f.err);
    assert_int_equal(read_back(100), CM_EDENIED);
    assert_string_equal(f.err.what, "this is not the recovery key that the backup was sealed to");
}

static void readable_key_is_refused(void **state)
{
    EVP_PKEY *key = NULL;
    (void)state;
    CM_AUTO_STR file = cm_asprintf("%s/recovery.key", f.dir);
    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(kf_recovery_load(file, &key, &f.err), CM_EDENIED);
    assert_non_null(strstr(f.err.what, "can be read by others"));
    assert_null(key);
}

static void other_files_are_no_backups(void **state)
{
    (void)state;
    OK(cm_file_write(f.path, "hello\n", 6, 0600, &f.err), f.err);
    assert_int_equal(verify(), CM_EMALF);
    assert_string_equal(f.err.what, "this file is no backup of certmgr");
    OK(cm_file_write(f.path, "certmgr-backup 2\nxxxxxxx", 24, 0600, &f.err), f.err);
    assert_int_equal(verify(), CM_EINVAL);
    assert_non_null(strstr(f.err.what, "newer version"));
}

/* ---- the agent's part --------------------------------------------------------------------------
 */

static void agent_seals_its_identity(void **state)
{
    struct test_agent manager;
    struct kf_secret plain;
    uint8_t *der = NULL;
    size_t len = 0;
    (void)state;
    agent_init(&manager, f.dir, "manager");
    agent_start(&manager);
    json_decref(agent_found(&manager, "manager"));
    refused(&manager, op("backup.seal"), "not_found", "no recovery key");
    CM_AUTO_JSON root =
        call(&manager, json_pack("{s:s,s:s}", "op", "trust.recovery", "recovery", f.spki));
    const json_t *document = cm_json_obj(root, "document");
    assert_string_equal(cm_json_str(document, "recovery"), f.spki);
    assert_int_equal(cm_json_int(document, "version", 0), 2);
    CM_AUTO_JSON again =
        call(&manager, json_pack("{s:s,s:s}", "op", "trust.recovery", "recovery", f.spki));
    assert_int_equal(cm_json_int(cm_json_obj(again, "document"), "version", 0), 2);
    CM_AUTO_JSON reply = call(&manager, op("backup.seal"));
    const char *sealed = cm_json_str(reply, "sealed");
    assert_int_equal(cm_b64_decode(sealed, strlen(sealed), &der, &len), 0);
    OK(kf_recovery_open(f.key, der, len, &plain, &f.err), f.err);
    cm_free(der);
    assert_int_equal(strncmp(plain.data, "identity: manager\nfile: identity.json ", 38), 0);
    assert_non_null(strstr(plain.data, "file: seal.key "));
    assert_non_null(strstr(plain.data, "file: sign.key "));
    assert_non_null(strstr(plain.data, "-----BEGIN PRIVATE KEY-----"));
    kf_secret_fini(&plain);
    agent_fini(&manager);
}

/* What a backup of this agent holds, opened with the recovery key. */
static void seal_and_open(struct test_agent *agent, struct kf_secret *ret)
{
    uint8_t *der = NULL;
    size_t len = 0;
    CM_AUTO_JSON reply = call(agent, op("backup.seal"));
    const char *sealed = cm_json_str(reply, "sealed");
    assert_non_null(sealed);
    assert_int_equal(cm_b64_decode(sealed, strlen(sealed), &der, &len), 0);
    OK(kf_recovery_open(f.key, der, len, ret, &f.err), f.err);
    cm_free(der);
}

static void assert_holds(const struct test_agent *agent, const struct kf_secret *plain,
                         const char *name)
{
    char *text = NULL;
    CM_AUTO_STR path = cm_asprintf("%s/%s", agent->config.dir, name);
    CM_AUTO_STR line = cm_asprintf("file: %s ", name);
    OK(cm_file_read(path, 1 << 14, &text, NULL, &f.err), f.err);
    assert_non_null(strstr(plain->data, text));
    cm_free_secret(text, strlen(text));
    assert_non_null(strstr(plain->data, line));
}

/* In the middle of a rotation the keys before and behind it are in the backup, too. */
static void pending_and_former_keys_are_in_it(void **state)
{
    static const char *const dirs[] = {"next", "old"};
    static const char *const files[] = {"identity.json", "seal.key", "sign.key", "seal.crt"};
    struct test_agent manager;
    struct kf_secret plain;
    (void)state;
    agent_init(&manager, f.dir, "manager");
    agent_start(&manager);
    json_decref(agent_found(&manager, "manager"));
    json_decref(call(&manager, json_pack("{s:s,s:s}", "op", "trust.recovery", "recovery", f.spki)));
    seal_and_open(&manager, &plain);
    assert_null(strstr(plain.data, "file: next/"));
    assert_null(strstr(plain.data, "file: old/"));
    kf_secret_fini(&plain);
    for (size_t d = 0; d < 2; d++) { /* one at a time: both would be an exchange to be finished */
        struct kf_identity made;
        CM_AUTO_STR dir = cm_asprintf("%s/%s", manager.config.dir, dirs[d]);
        CM_AUTO_STR other = cm_asprintf("file: %s/", dirs[1 - d]);
        agent_stop(&manager);
        OK(kf_identity_create(dir, "manager", &made, &f.err), f.err);
        kf_identity_fini(&made);
        agent_start(&manager);
        seal_and_open(&manager, &plain);
        assert_int_equal(strncmp(plain.data, "identity: manager\nfile: identity.json ", 38), 0);
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
            CM_AUTO_STR name = cm_asprintf("%s/%s", dirs[d], files[i]);
            assert_holds(&manager, &plain, name);
            assert_holds(&manager, &plain, files[i]);
        }
        assert_null(strstr(plain.data, other));
        kf_secret_fini(&plain);
        agent_stop(&manager);
        remove_dir(cm_strdup(dir));
    }
    agent_fini(&manager);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(comes_back),
        T(every_damage_is_noticed),
        T(another_key_opens_nothing),
        T(readable_key_is_refused),
        T(other_files_are_no_backups),
        T(a_stream_cannot_be_ended_early),
        T(nothing_stands_behind_the_end),
        T(lengths_are_bounded),
        T(it_is_read_to_its_end),
        T(a_full_disk_is_called_by_its_name),
        T(agent_seals_its_identity),
        T(pending_and_former_keys_are_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
