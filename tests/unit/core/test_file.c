/* Whole reads, atomic writes, directories. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/mem.h"

static char dir[] = "/tmp/cm-test-file-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = {"a", "link", "target", "fifo", "half"};
    static const char *const dirs[] = {"x/y/z", "x/y", "x", "full"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        rmdir(dirs[i]);
    return rmdir(dir); /* fails when something was left behind */
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count - 2;
}

static void write_replaces_with_the_exact_mode(void **state)
{
    (void)state;
    struct stat st;
    char *data;
    size_t len;
    mode_t before = umask(077);
    assert_int_equal(cm_file_write("a", "one", 3, 0644, NULL), 0);
    umask(before);
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(cm_file_write("a", "second", 6, 0600, NULL), 0);
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(cm_file_read("a", 6, &data, &len, NULL), 0);
    assert_int_equal(len, 6);
    assert_string_equal(data, "second");
    cm_free(data);
    assert_int_equal(entries("."), 1); /* no temporary file is left */
}

static void write_replaces_a_link_not_its_target(void **state)
{
    (void)state;
    struct stat st;
    char *data;
    assert_int_equal(cm_file_write("target", "keep", 4, 0600, NULL), 0);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(cm_file_write("link", "new", 3, 0600, NULL), 0);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(cm_file_read("target", 100, &data, NULL, NULL), 0);
    assert_string_equal(data, "keep");
    cm_free(data);
}

static void failed_writes_leave_nothing(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(cm_file_write("none/file", "x", 1, 0600, &err), CM_ENOENT);
    assert_non_null(strstr(err.what, "none/file"));
    assert_int_equal(cm_dir_make("full", 0755, NULL), 0);
    unsigned before = entries(".");
    assert_int_equal(cm_file_write("full", "x", 1, 0600, &err), CM_EIO); /* is a directory */
    assert_int_equal(entries("."), before);
}

static void reads_are_capped_and_regular_only(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    char *data = NULL;
    assert_int_equal(cm_file_write("a", "123456", 6, 0600, NULL), 0);
    assert_int_equal(cm_file_read("a", 5, &data, NULL, &err), CM_ELIMIT);
    assert_null(data);
    assert_int_equal(cm_file_read("none", 5, &data, NULL, &err), CM_ENOENT);
    assert_string_equal(err.cause[0], "No such file or directory");
    assert_int_equal(cm_file_read(".", 5, &data, NULL, &err), CM_EINVAL);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(cm_file_read("fifo", 5, &data, NULL, &err), CM_EINVAL);
    assert_int_equal(cm_file_write("a", "", 0, 0600, NULL), 0);
    size_t len = 7;
    assert_int_equal(cm_file_read("a", 0, &data, &len, &err), 0);
    assert_string_equal(data, "");
    assert_int_equal(len, 0);
    cm_free(data);
}

static void directories_are_made_with_parents(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(cm_dir_make("x/y//z/", 0700, NULL), 0);
    assert_int_equal(cm_dir_make("x/y/z", 0700, NULL), 0);
    assert_int_equal(stat("x/y/z", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(cm_file_write("a", "x", 1, 0600, NULL), 0);
    assert_int_equal(cm_dir_make("a", 0700, NULL), CM_EIO);
    assert_int_equal(cm_dir_make("a/b", 0700, NULL), CM_EIO);
    assert_int_equal(cm_dir_sync("x", NULL), 0);
    assert_int_equal(cm_dir_sync("none", NULL), CM_ENOENT);
    assert_true(cm_path_exists("x/y"));
    assert_false(cm_path_exists("x/none"));
}

static void tidy_removes_temporaries_alone(void **state)
{
    (void)state;
    static const char *const left[] = {".key.pem.0123456789abcdef.tmp", ".a.fedcba9876543210.tmp"};
    static const char *const kept[] = {"a.0123456789abcdef.tmp", ".a.0123456789abcdeg.tmp",
                                       ".a.0123456789abcdef.tmp.x", ".a0123456789abcdef.tmp",
                                       ".0123456789abcdef.tmp"};
    assert_int_equal(cm_dir_make("tidy", 0700, NULL), 0);
    int at = open("tidy", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_equal(close(openat(at, left[i], O_WRONLY | O_CREAT, 0600)), 0);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_int_equal(close(openat(at, kept[i], O_WRONLY | O_CREAT, 0600)), 0);
    cm_dir_tidy("tidy");
    cm_dir_tidy("nowhere");
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_equal(faccessat(at, left[i], F_OK, 0), -1);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_int_equal(unlinkat(at, kept[i], 0), 0);
    close(at);
    assert_int_equal(rmdir("tidy"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_replaces_with_the_exact_mode),
        cmocka_unit_test(write_replaces_a_link_not_its_target),
        cmocka_unit_test(failed_writes_leave_nothing),
        cmocka_unit_test(reads_are_capped_and_regular_only),
        cmocka_unit_test(tidy_removes_temporaries_alone),
        cmocka_unit_test(directories_are_made_with_parents),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
