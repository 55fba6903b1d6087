/* A keyring's place: generations, the swap, foreign files, damage, and death at any moment. */
#include "support.h"

#include <signal.h>
#include <time.h>

#include "keyfile/place.h"

static struct {
    char *dir;
    struct kf_target target;
    struct kf_place place;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    f.place = (struct kf_place){.data = -1, .store = -1, .base = -1};
    f.target = (struct kf_target){.name = "web", .kyr = true, .pem = true};
    cm_strcpy(f.target.directory, sizeof(f.target.directory), f.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_place_close(&f.place);
    cm_err_fini(&f.err);
    remove_dir(f.dir);
    return 0;
}

static void open_place(void)
{
    kf_place_close(&f.place);
    OK(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), f.err);
}

/* Files whose every line carries the same mark, so that a mixed set shows. */
struct set {
    char key[32], leaf[32], rest[32];
    struct kf_file file[KF_KEYRING_FILES_MAX];
    size_t count;
};

static void make_set(struct set *s, int mark)
{
    snprintf(s->key, sizeof(s->key), "key %d\n", mark);
    snprintf(s->leaf, sizeof(s->leaf), "leaf %d\n", mark);
    snprintf(s->rest, sizeof(s->rest), "rest %d\n", mark);
    struct kf_material m = {.key = s->key, .leaf = s->leaf, .intermediates = s->rest};
    s->count = kf_keyring_files(&m, "site.kyr", f.target.kyr, f.target.pem, s->file);
}

static int64_t write_set(int mark)
{
    struct set s;
    int64_t generation;
    CM_AUTO_JSON meta = json_pack("{s:i}", "mark", mark);
    make_set(&s, mark);
    OK(kf_place_write(&f.place, s.file, s.count, meta, &generation, &f.err), f.err);
    return generation;
}

static bool intact(int64_t generation, int mark)
{
    struct set s;
    make_set(&s, mark);
    return kf_place_intact(&f.place, generation, s.file, s.count);
}

static int64_t current(void)
{
    int64_t generation;
    OK(kf_place_current(&f.place, &generation, &f.err), f.err);
    return generation;
}

static char *text_of(const char *file)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", f.dir, file);
    char *text;
    size_t len;
    return cm_file_read(path, 4096, &text, &len, NULL) == 0 ? text : NULL;
}

static void swaps_back_and_forth(void **state)
{
    (void)state;
    open_place();
    assert_int_equal(current(), 0);
    int64_t one = write_set(1);
    assert_int_equal(one, 1);
    assert_null(text_of("site.kyr"));
    OK(kf_place_swap(&f.place, one, &f.err), f.err);
    CM_AUTO_STR first = text_of("site.kyr");
    assert_string_equal(first, "key 1\nleaf 1\nrest 1\n");
    assert_true(intact(1, 1));
    assert_false(intact(1, 2));

    int64_t two = write_set(2);
    CM_AUTO_STR still = text_of("site/privkey.pem");
    assert_string_equal(still, "key 1\n");
    OK(kf_place_swap(&f.place, two, &f.err), f.err);
    CM_AUTO_STR after = text_of("site/privkey.pem");
    assert_string_equal(after, "key 2\n");
    assert_int_equal(current(), 2);
    OK(kf_place_swap(&f.place, one, &f.err), f.err);
    OK(kf_place_remove(&f.place, two, &f.err), f.err);
    assert_true(intact(1, 1));
    CM_AUTO_JSON meta = NULL;
    OK(kf_place_meta(&f.place, 1, &meta, &f.err), f.err);
    assert_int_equal(cm_json_int(meta, "mark", 0), 1);

    OK(kf_place_swap(&f.place, 0, &f.err), f.err); /* the very first deployment undone */
    assert_null(text_of("site.kyr"));
    assert_int_equal(current(), 0);
    CM_AUTO_STR link = cm_asprintf("%s/site", f.dir);
    assert_false(cm_path_exists(link));
}

static void keeps_three_generations(void **state)
{
    (void)state;
    open_place();
    for (int i = 1; i <= 6; i++)
        OK(kf_place_swap(&f.place, write_set(i), &f.err), f.err);
    int64_t abandoned = write_set(7); /* staged by a process that was killed */
    OK(kf_place_prune(&f.place, &f.err), f.err);
    for (int i = 1; i <= 7; i++) {
        CM_AUTO_STR path = cm_asprintf("%s/.certmgr/site/%d", f.dir, i);
        assert_int_equal(cm_path_exists(path), i >= 4 && i <= 6);
    }
    assert_int_equal(abandoned, 7);
    assert_true(intact(6, 6));
    /* Back two generations and forth again: pruning never touches the current one. */
    OK(kf_place_swap(&f.place, 4, &f.err), f.err);
    OK(kf_place_prune(&f.place, &f.err), f.err);
    assert_true(intact(4, 4));
}

static void notices_damage(void **state)
{
    (void)state;
    static const char *const files[] = {".certmgr/site/1/privkey.pem", ".certmgr/site/1/chain.pem",
                                        ".certmgr/site/1/site.kyr"};
    open_place();
    OK(kf_place_swap(&f.place, write_set(1), &f.err), f.err);
    for (size_t i = 0; i < 3; i++) {
        CM_AUTO_STR path = cm_asprintf("%s/%s", f.dir, files[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(chmod(path, 0666), 0);
        assert_false(intact(1, 1));
        assert_int_equal(chmod(path, st.st_mode & 07777), 0);
        assert_true(intact(1, 1));
        char *text;
        size_t len;
        OK(cm_file_read(path, 4096, &text, &len, &f.err), f.err);
        text[0] ^= 1;
        OK(cm_file_write(path, text, len, st.st_mode & 07777, &f.err), f.err);
        assert_false(intact(1, 1));
        text[0] ^= 1;
        OK(cm_file_write(path, text, len, st.st_mode & 07777, &f.err), f.err);
        cm_free(text);
        assert_true(intact(1, 1));
        CM_AUTO_STR aside = cm_asprintf("%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        assert_false(intact(1, 1));
        assert_int_equal(symlink(aside, path), 0); /* a link with the right content is no file */
        assert_false(intact(1, 1));
        assert_int_equal(rename(aside, path), 0);
        assert_true(intact(1, 1));
    }
    CM_AUTO_STR link = cm_asprintf("%s/site", f.dir);
    assert_int_equal(unlink(link), 0);
    assert_false(intact(1, 1));
    if (geteuid() == 0) {
        OK(kf_place_swap(&f.place, 1, &f.err), f.err);
        CM_AUTO_STR path = cm_asprintf("%s/%s", f.dir, files[0]);
        assert_true(intact(1, 1));
        assert_int_equal(chown(path, 1234, 0), 0);
        assert_false(intact(1, 1));
    }
}

static void leaves_foreign_files_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"site.kyr", "site"};
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR path = cm_asprintf("%s/%s", f.dir, names[i]);
        OK(cm_file_write(path, "mine", 4, 0600, &f.err), f.err);
        REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_ECONFLICT,
                "was not made by CertMgr", f.err);
        CM_AUTO_STR kept = text_of(names[i]);
        assert_string_equal(kept, "mine");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/etc/passwd", path), 0);
        REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_ECONFLICT, names[i],
                f.err);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_ECONFLICT, names[i],
                f.err);
        assert_int_equal(rmdir(path), 0);
    }
    /* It appears between stage and swap: the swap fails, the file stays. */
    open_place();
    int64_t one = write_set(1);
    CM_AUTO_STR path = cm_asprintf("%s/site.kyr", f.dir);
    OK(cm_file_write(path, "mine", 4, 0600, &f.err), f.err);
    REFUSED(kf_place_swap(&f.place, one, &f.err), CM_ECONFLICT, "site.kyr", f.err);
    OK(kf_place_swap(&f.place, 0, &f.err), f.err);
    CM_AUTO_STR kept = text_of("site.kyr");
    assert_string_equal(kept, "mine");
}

static void refuses_bad_directories(void **state)
{
    (void)state;
    CM_AUTO_STR store = cm_asprintf("%s/.certmgr", f.dir);
    CM_AUTO_STR missing = cm_asprintf("%s/missing", f.dir);
    REFUSED(kf_place_open(&f.target, "../x.kyr", &f.place, &f.err), CM_EINVAL, "keyring file name",
            f.err);
    cm_strcpy(f.target.directory, sizeof(f.target.directory), missing);
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_ENOENT, "cannot be opened",
            f.err);
    cm_strcpy(f.target.directory, sizeof(f.target.directory), f.dir);
    assert_int_equal(symlink("/tmp", store), 0);
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EIO, "not a directory",
            f.err);
    assert_int_equal(unlink(store), 0);
    assert_int_equal(mkdir(store, 0700), 0);
    assert_int_equal(chmod(store, 0777), 0);
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EDENIED,
            "does not belong to the key agent alone", f.err);
    if (geteuid() == 0) {
        assert_int_equal(chmod(store, 0755), 0);
        assert_int_equal(chown(store, 1234, 0), 0);
        REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EDENIED, "owner 1234",
                f.err);
    }
}

static void honours_mode_owner_and_format(void **state)
{
    (void)state;
    f.target.mode = 0640;
    if (geteuid() == 0)
        cm_strcpy(f.target.group, sizeof(f.target.group), "1234");
    open_place();
    OK(kf_place_swap(&f.place, write_set(1), &f.err), f.err);
    struct stat st;
    CM_AUTO_STR key = cm_asprintf("%s/site/privkey.pem", f.dir);
    CM_AUTO_STR cert = cm_asprintf("%s/site/cert.pem", f.dir);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    if (geteuid() == 0)
        assert_int_equal(st.st_gid, 1234);
    assert_int_equal(stat(cert, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    f.target.pem = false; /* switched off in the configuration: its link goes with the next swap */
    open_place();
    assert_false(intact(1, 1));
    OK(kf_place_swap(&f.place, write_set(1), &f.err), f.err);
    assert_true(intact(2, 1));
    CM_AUTO_STR link = cm_asprintf("%s/site", f.dir);
    assert_false(cm_path_exists(link));

    f.target.mode = 0644;
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EINVAL, "mode 0644", f.err);
    f.target.mode = 0600;
    f.target.kyr = false;
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EINVAL, "no format", f.err);
    f.target.kyr = true;
    cm_strcpy(f.target.owner, sizeof(f.target.owner), "no-such-user-here");
    REFUSED(kf_place_open(&f.target, "site.kyr", &f.place, &f.err), CM_EINVAL, "not a user", f.err);
}

/* A writer that deploys without end, until it is killed. */
static pid_t start_writer(int mark)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    for (;; mark++) {
        struct set s;
        int64_t generation;
        CM_AUTO_JSON meta = json_object();
        make_set(&s, mark);
        if (kf_place_write(&f.place, s.file, s.count, meta, &generation, NULL) < 0 ||
            kf_place_swap(&f.place, generation, NULL) < 0 || kf_place_prune(&f.place, NULL) < 0)
            _exit(1);
    }
}

/* One whole set under the name "site", opened through one directory as a service would. */
static void check_one_set(void)
{
    CM_AUTO_STR path = cm_asprintf("%s/site", f.dir);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return; /* nothing deployed yet */
    static const char *const files[] = {"privkey.pem", "cert.pem", "chain.pem"};
    int mark[3] = {0};
    bool gone = false;
    for (size_t i = 0; i < 3; i++) {
        char text[32] = "";
        int fd = openat(dir, files[i], O_RDONLY);
        if (fd < 0) {
            gone = true; /* pruned while we were reading: three generations later */
            continue;
        }
        ssize_t len = read(fd, text, sizeof(text) - 1);
        close(fd);
        assert_true(len > 0 && text[len - 1] == '\n');
        mark[i] = (int)strtol(strchr(text, ' '), NULL, 10);
    }
    close(dir);
    if (!gone && (mark[0] != mark[1] || mark[1] != mark[2]))
        fail_msg("mixed set: key %d, leaf %d, chain %d", mark[0], mark[1], mark[2]);
}

static void survives_death_at_any_moment(void **state)
{
    (void)state;
    enum { KILLS = 60, LOOKS = 20 };
    open_place();
    unsigned seed = 12345;
    for (int i = 0; i < KILLS; i++) {
        int64_t before = current();
        pid_t pid = start_writer(i * 1000 + 1);
        while (current() == before) /* so that every kill meets a writer at work */
            check_one_set();
        for (int k = 0; k < LOOKS; k++)
            check_one_set();
        struct timespec pause = {0, (long)(rand_r(&seed) % 4000) * 1000};
        nanosleep(&pause, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        check_one_set();
        /* The next process carries on from what it finds. */
        int64_t now = current();
        int64_t next = write_set(i);
        assert_true(next > now);
        OK(kf_place_swap(&f.place, next, &f.err), f.err);
        OK(kf_place_prune(&f.place, &f.err), f.err);
        assert_true(intact(next, i));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(swaps_back_and_forth),
        TEST(keeps_three_generations),
        TEST(notices_damage),
        TEST(leaves_foreign_files_alone),
        TEST(refuses_bad_directories),
        TEST(honours_mode_owner_and_format),
        TEST(survives_death_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
