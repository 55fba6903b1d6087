/* Secret files: read when they are private, refused when others could read or change them. */
#include "tests/unit/notify/support.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certmgr/notify/secret.h"

static char dir[] = "/tmp/certmgr-secret-XXXXXX";
static char path[100];

static void write_file(const char *text, size_t len, mode_t mode)
{
    unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int attempt(char **ret, struct cm_err *err)
{
    *err = CM_ERR_INIT;
    return secret_read(path, "the secret of the webhook", ret, err);
}

static void test_first_line(void **state)
{
    (void)state;
    static const char *const texts[] = {"s3cret word", "s3cret word\n", "s3cret word\r\n",
                                        "s3cret word\nmore\n"};
    static const mode_t modes[] = {0600, 0640, 0400, 0440};
    for (size_t i = 0; i < 4; i++) {
        struct cm_err err;
        char *secret = NULL;
        write_file(texts[i], strlen(texts[i]), modes[i]);
        assert_int_equal(attempt(&secret, &err), 0);
        assert_string_equal(secret, "s3cret word");
        secret_free(secret);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0644, 0604, 0660, 0602, 0777};
    struct cm_err err;
    char *secret = NULL;
    for (size_t i = 0; i < 5; i++) {
        write_file("s3cret", 6, modes[i]);
        assert_int_equal(attempt(&secret, &err), CM_EDENIED);
        assert_null(secret);
        assert_non_null(strstr(err.what, path));
        assert_true(err.hint[0] != '\0');
    }
    write_file("\n", 1, 0600);
    assert_int_equal(attempt(&secret, &err), CM_EINVAL);
    char big[SECRET_FILE_MAX + 1];
    memset(big, 'x', sizeof(big));
    write_file(big, sizeof(big), 0600);
    assert_int_equal(attempt(&secret, &err), CM_ELIMIT);
    unlink(path);
    assert_int_equal(attempt(&secret, &err), CM_ENOENT);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_true(attempt(&secret, &err) < 0);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(attempt(&secret, &err), CM_EINVAL); /* and does not wait for a writer */
    unlink(path);
    assert_null(secret);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/secret", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_line),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
