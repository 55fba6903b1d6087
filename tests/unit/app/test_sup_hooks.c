/* Hooks: only configured commands, argv as written, nothing inherited, an end in any case. */
#include "tests/unit/app/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/core/clock.h"
#include "base/core/num.h"
#include "certmgr/sup_hooks.h"

#define STEP_LIMIT_MS 20000

struct fixture {
    struct config config;
    struct sup_hooks hooks;
    char dir[32];
};

static int setup(void **state)
{
    struct fixture *f = cm_calloc(1, sizeof(*f));
    cm_strcpy(f->dir, sizeof(f->dir), "/tmp/hooks-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->hooks.config = &f->config;
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++)
        f->hooks.hook[i].pipe = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR command = cm_asprintf("%s/hook", f->dir);
    CM_AUTO_STR mark = cm_asprintf("%s/mark", f->dir);
    unlink(command);
    unlink(mark);
    rmdir(f->dir);
    for (size_t i = 0; i < f->config.target_count; i++)
        for (size_t k = 0; f->config.target[i].reload.argv[k] != NULL; k++)
            cm_free(f->config.target[i].reload.argv[k]);
    cm_free(f);
    cm_clock_fake(-1, -1);
    return 0;
}

/* [target web] with a reload command of these words. */
static void configure(struct fixture *f, const char *const *words)
{
    struct config_target *t = &f->config.target[f->config.target_count++];
    cm_strcpy(t->files.name, sizeof(t->files.name), "web");
    t->hook_timeout_s = 60;
    for (size_t i = 0; words[i] != NULL; i++)
        t->reload.argv[i] = cm_strdup(words[i]);
}
#define CONFIGURE(f, ...) configure(f, (const char *const[]){__VA_ARGS__, NULL})

/* A script as the hook. */
static void configure_script(struct fixture *f, const char *text)
{
    CM_AUTO_STR path = cm_asprintf("%s/hook", f->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "#!/bin/sh\n%s\n", text) > 0);
    close(fd);
    CONFIGURE(f, path);
}

static void start(struct fixture *f, int64_t id)
{
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(sup_hook_start(&f->hooks, id, "web", "reload", &err), 0);
}

/* What the supervisor's loop does, until the first hook has ended. */
static json_t *run_to_end(struct fixture *f)
{
    for (int waited = 0; waited < STEP_LIMIT_MS; waited += 5) {
        int status = 0;
        sup_hook_read(&f->hooks.hook[0]);
        (void)sup_hooks_tick(&f->hooks, cm_mono_ms());
        pid_t pid = waitpid(f->hooks.hook[0].pid, &status, WNOHANG);
        if (pid > 0) {
            assert_true(sup_hooks_reap(&f->hooks, pid, status));
            json_t *packet = sup_hook_result(&f->hooks.hook[0]);
            assert_non_null(packet);
            sup_hook_free(&f->hooks.hook[0]);
            return packet;
        }
        assert_null(sup_hook_result(&f->hooks.hook[0]));
        nap_ms(5);
    }
    fail_msg("the hook did not end");
    return NULL;
}

static json_t *run(struct fixture *f)
{
    start(f, 42);
    return run_to_end(f);
}

static const char *output(const json_t *packet)
{
    return cm_json_str_or(packet, "output", "(none)");
}

static void words_are_arguments_never_a_shell_line(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/usr/bin/printf", "<%s>", "$(touch mark) ; `id` * $HOME", "", "a b");
    CM_AUTO_JSON packet = run(f);
    assert_string_equal(output(packet), "<$(touch mark) ; `id` * $HOME><><a b>");
    assert_string_equal(cm_json_str(packet, "op"), "hook.done");
    assert_int_equal(cm_json_int(packet, "id", 0), 42);
    assert_null(cm_json_str(packet, "error"));
}

static void the_environment_is_ours_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(setenv("LD_PRELOAD_TEST", "secret", 1), 0);
    CONFIGURE(f, "/usr/bin/env");
    CM_AUTO_JSON packet = run(f);
    unsetenv("LD_PRELOAD_TEST");
    assert_string_equal(output(packet),
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                        "LC_ALL=C.UTF-8\nCERTMGR_TARGET=web\nCERTMGR_STEP=reload\n");
}

static void no_descriptor_signal_or_place_is_inherited(void **state)
{
    struct fixture *f = *state;
    int ours = open("/dev/null", O_RDONLY); /* not even close-on-exec */
    assert_true(ours >= 0);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* as under systemd */
    CONFIGURE(f, "/bin/sh", "-c", "pwd; grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/$$/fd");
    CM_AUTO_JSON packet = run(f);
    (void)signal(SIGPIPE, before);
    close(ours);
    assert_non_null(strstr(output(packet), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"));
    assert_int_equal(strncmp(output(packet), "/\n", 2), 0);
    assert_non_null(strstr(output(packet), "\n0\n1\n2\n"));
    assert_null(strstr(output(packet), "\n3\n"));
    assert_null(strstr(output(packet), "\n4\n"));
}

static void status_and_signal_are_told(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/bin/sh", "-c", "echo broken line 7 >&2; exit 3");
    CM_AUTO_JSON packet = run(f);
    assert_string_equal(output(packet), "broken line 7\n");
    assert_string_equal(cm_json_str(packet, "error"), "ended with status 3");
    cm_free(f->config.target[0].reload.argv[2]);
    f->config.target[0].reload.argv[2] = cm_strdup("kill -TERM $$");
    CM_AUTO_JSON killed = run(f);
    assert_string_equal(cm_json_str(killed, "error"), "was ended by signal 15");
}

/* Of no target: the commands of [orders]. */
static void commands_around_the_work(void **state)
{
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    f->config.orders.hook_timeout_s = 30;
    assert_int_equal(sup_hook_start(&f->hooks, 7, "", "before", &err), CM_ENOENT);
    assert_non_null(strstr(err.what, "[orders] has no before command"));
    static const char *const words[] = {"/bin/sh", "-c", "echo $CERTMGR_STEP $CERTMGR_TARGET."};
    for (size_t i = 0; i < 3; i++)
        f->config.orders.after.argv[i] = cm_strdup(words[i]);
    cm_err_fini(&err);
    assert_int_equal(sup_hook_start(&f->hooks, 7, "", "after", &err), 0);
    CM_AUTO_JSON packet = run_to_end(f);
    assert_string_equal(output(packet), "after .\n");
    assert_int_equal(cm_json_int(packet, "status", -1), 0);
    assert_int_equal(sup_hook_start(&f->hooks, 7, "", "reload", &err), CM_ENOENT);
    cm_err_fini(&err);
    for (size_t i = 0; i < 3; i++)
        cm_free(f->config.orders.after.argv[i]);
}

static void a_command_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/nonexistent/reload");
    CM_AUTO_JSON packet = run(f);
    assert_non_null(strstr(output(packet), "/nonexistent/reload cannot be started: No such file"));
    assert_string_equal(cm_json_str(packet, "error"), "ended with status 127");
}

/* The line that the hook writes into its file, when all of it is there. */
static void read_mark(const struct fixture *f, char *line, size_t size)
{
    CM_AUTO_STR mark = cm_asprintf("%s/mark", f->dir);
    for (int waited = 0; waited < STEP_LIMIT_MS; waited += 5) {
        FILE *file = fopen(mark, "r");
        bool whole = file && fgets(line, (int)size, file) && strchr(line, '\n');
        if (file)
            fclose(file);
        if (whole) {
            line[strcspn(line, "\n")] = '\0';
            return;
        }
        nap_ms(5);
    }
    fail_msg("the hook wrote nothing");
}

static void the_time_limit_ends_the_whole_group(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR text = cm_asprintf("sleep 600 & echo $! > %s/mark; sleep 600", f->dir);
    configure_script(f, text);
    int64_t before = cm_mono_ms();
    start(f, 1);
    int64_t deadline = sup_hooks_tick(&f->hooks, cm_mono_ms());
    assert_true(deadline >= before + 60000 && deadline <= cm_mono_ms() + 60000);
    char line[32] = "", stat_path[64];
    read_mark(f, line, sizeof(line)); /* both sleep */
    cm_clock_fake(-1, deadline - 1);
    assert_int_equal(sup_hooks_tick(&f->hooks, cm_mono_ms()), deadline);
    assert_int_equal(waitpid(f->hooks.hook[0].pid, NULL, WNOHANG), 0);
    cm_clock_fake(-1, deadline);
    CM_AUTO_JSON packet = run_to_end(f);
    assert_string_equal(cm_json_str(packet, "error"),
                        "ran longer than its time limit and was killed");
    assert_int_equal(sup_hooks_tick(&f->hooks, cm_mono_ms()), 0);
    snprintf(stat_path, sizeof(stat_path), "/proc/%.20s/stat", line);
    for (int i = 0; i < 200; i++) { /* gone, or a zombie that nobody has taken yet */
        char state_text[512] = "";
        FILE *st = fopen(stat_path, "r");
        if (st == NULL)
            return;
        (void)!fgets(state_text, sizeof(state_text), st);
        fclose(st);
        if (strstr(state_text, ") Z ") != NULL)
            return;
        nap_ms(10);
    }
    fail_msg("the hook's child %s still runs", line);
}

/* A hook may start the service: that lives on, also when it is still in the hook's group. */
static void what_a_hook_leaves_behind_lives_on(void **state)
{
    struct fixture *f = *state;
    int64_t pid = 0;
    configure_script(f, "sleep 600 >/dev/null 2>&1 & echo $!");
    CM_AUTO_JSON packet = run(f);
    CM_AUTO_STR text = cm_strdup(output(packet));
    text[strcspn(text, "\n")] = '\0';
    assert_int_equal(cm_num_i64(text, 2, INT32_MAX, &pid), 0);
    nap_ms(50);
    CM_AUTO_STR path = cm_asprintf("/proc/%s/cmdline", text);
    char line[64] = "";
    size_t n = 1;
    /* Before it becomes "sleep" it is the hook's shell; killed, it would have none. */
    for (int waited = 0; waited < STEP_LIMIT_MS && n > 0 && strcmp(line, "sleep") != 0;
         waited += 5) {
        nap_ms(5);
        memset(line, 0, sizeof(line));
        FILE *file = fopen(path, "r");
        n = file != NULL ? fread(line, 1, sizeof(line) - 1, file) : 0;
        if (file != NULL)
            fclose(file);
    }
    (void)kill((pid_t)pid, SIGKILL);
    assert_int_equal(n, sizeof("sleep\0"
                               "600"));
    assert_string_equal(line, "sleep");
}

/* The terminal, or whatever the supervisor was given, is not the hook's to read. */
static void standard_input_is_empty(void **state)
{
    struct fixture *f = *state;
    int fds[2], before = dup(0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "for the supervisor\n", 19), 19);
    assert_int_equal(dup2(fds[0], 0), 0);
    close(fds[1]);
    CONFIGURE(f, "/bin/cat");
    CM_AUTO_JSON packet = run(f);
    dup2(before, 0);
    close(before);
    close(fds[0]);
    assert_string_equal(output(packet), "");
}

static void the_last_part_of_long_output_is_kept(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/bin/sh", "-c", "seq 100000; echo the end");
    CM_AUTO_JSON packet = run(f);
    size_t len = strlen(output(packet));
    assert_int_equal(len, SUP_HOOK_OUTPUT);
    assert_string_equal(output(packet) + len - 15, "100000\nthe end\n");
}

/* Our end of the pipe is non-blocking, theirs must not be: programs do not expect it. */
static void a_hook_may_print_faster_than_we_read(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/usr/bin/head", "-c", "300000", "/dev/zero");
    start(f, 1);
    nap_ms(200);
    CM_AUTO_JSON packet = run_to_end(f);
    assert_null(cm_json_str(packet, "error"));
    assert_int_equal(strlen(output(packet)), SUP_HOOK_OUTPUT);
}

static void endless_output_does_not_hold_up_the_loop(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/usr/bin/yes");
    f->config.target[0].hook_timeout_s = 1;
    CM_AUTO_JSON packet = run(f); /* ends only if reading stops now and then */
    assert_string_equal(cm_json_str(packet, "error"),
                        "ran longer than its time limit and was killed");
}

static void output_is_made_plain_text(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/usr/bin/printf",
              "a\\tb\\033[2J\\000c\\177 \\377\\303 \\303\\274 \\342\\202\\254\\n");
    CM_AUTO_JSON packet = run(f);
    assert_string_equal(output(packet), "a\tb?[2J?c? ?? \xc3\xbc \xe2\x82\xac\n");
}

/* The cut may fall into a character: the rest stays readable, and the packet is made at all. */
static void a_cut_character_harms_only_itself(void **state)
{
    struct fixture *f = *state;
    CONFIGURE(f, "/bin/sh", "-c", "for i in $(seq 3000); do printf '\\303\\274'; done; printf x");
    CM_AUTO_JSON packet = run(f);
    size_t len = strlen(output(packet));
    assert_int_equal(len, SUP_HOOK_OUTPUT);
    assert_int_equal(output(packet)[0], '?');
    assert_string_equal(output(packet) + len - 5, "\xc3\xbc\xc3\xbcx");
}

static void what_is_not_configured_is_refused(void **state)
{
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    CONFIGURE(f, "/bin/true");
    assert_int_equal(sup_hook_start(&f->hooks, 1, "db", "reload", &err), CM_ENOENT);
    assert_string_equal(err.what, "no [target db] in the configuration");
    assert_int_equal(sup_hook_start(&f->hooks, 1, "web", "test", &err), CM_ENOENT);
    assert_string_equal(err.what, "[target web] has no test command");
    assert_int_equal(sup_hook_start(&f->hooks, 1, "web", "/bin/sh", &err), CM_ENOENT);
    assert_int_equal(sup_hook_start(&f->hooks, 1, "", "", &err), CM_ENOENT);
    for (size_t i = 0; i < SUP_HOOKS_MAX; i++)
        assert_false(f->hooks.hook[i].used);
    cm_err_fini(&err);
}

/* [dns_exec zones]: words behind its own, variables of one kind only. */
static void programs_get_words_and_credentials(void **state)
{
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    configure_script(f, "printf '%s|' \"$@\"; env | sort | grep -v '^_=' | tr '\\n' '|'");
    struct config_program *program = &f->config.program[f->config.program_count++];
    cm_strcpy(program->name, sizeof(program->name), "zones");
    program->timeout_s = 60;
    program->command.argv[0] = f->config.target[0].reload.argv[0];
    program->command.argv[1] = (char[]){"own"};
    CM_AUTO_JSON words =
        json_pack("[s,s,s,s]", "present", "--", "_acme-challenge.x.example", "-value; $(id) *");
    CM_AUTO_JSON env = json_pack("{s:s}", "CERTMGR_CRED_TOKEN", "s3cret");
    int64_t before = cm_mono_ms();
    assert_int_equal(sup_program_start(&f->hooks, 5, "zones", words, env, &err), 0);
    assert_in_range(f->hooks.hook[0].deadline_ms, before + 60000, cm_mono_ms() + 60000);
    CM_AUTO_JSON result = run_to_end(f);
    assert_int_equal(cm_json_int(result, "status", -1), 0);
    const char *said = output(result);
    assert_non_null(strstr(said, "own|present|--|_acme-challenge.x.example|-value; $(id) *|"));
    assert_non_null(strstr(said, "|CERTMGR_CRED_TOKEN=s3cret|LC_ALL=C.UTF-8|PATH="));
    assert_null(strstr(said, "HOME="));

    static const char *const bad[] = {"LD_PRELOAD", "PATH", "CERTMGR_CRED_", "CERTMGR_CRED_A=B",
                                      "CERTMGR_CRED_a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CM_AUTO_JSON forbidden = json_pack("{s:s}", bad[i], "x");
        assert_int_equal(sup_program_start(&f->hooks, 6, "zones", words, forbidden, &err),
                         CM_EDENIED);
        cm_err_fini(&err);
    }
    assert_int_equal(sup_program_start(&f->hooks, 6, "web", words, env, &err), CM_ENOENT);
    cm_err_fini(&err);
    program->command.argv[0] = program->command.argv[1] = NULL; /* freed as the target's */
}

static void only_so_many_run_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct cm_err err = CM_ERR_INIT;
    CONFIGURE(f, "/bin/sleep", "600");
    for (int i = 0; i < SUP_HOOKS_MAX; i++)
        start(f, i);
    assert_int_equal(sup_hook_start(&f->hooks, 99, "web", "reload", &err), CM_EBUSY);
    cm_err_fini(&err);
    sup_hooks_kill_all(&f->hooks);
    for (int i = 0; i < SUP_HOOKS_MAX; i++) {
        int status = 0;
        struct sup_hook *h = &f->hooks.hook[i];
        assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
        assert_true(sup_hooks_reap(&f->hooks, h->pid, status));
        CM_AUTO_JSON packet = sup_hook_result(h);
        assert_int_equal(cm_json_int(packet, "id", -1), i);
        assert_string_equal(cm_json_str(packet, "error"), "was ended by signal 9");
        sup_hook_free(h);
    }
    assert_false(sup_hooks_reap(&f->hooks, 1, 0));
}

static void a_result_waits_until_it_is_taken(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    CONFIGURE(f, "/bin/echo", "hello");
    start(f, 5);
    struct sup_hook *h = &f->hooks.hook[0];
    assert_false(h->orphan);
    sup_hooks_orphan(&f->hooks);
    assert_true(h->orphan);
    assert_false(f->hooks.hook[1].orphan);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_true(sup_hooks_reap(&f->hooks, h->pid, status));
    CM_AUTO_JSON one = sup_hook_result(h);
    CM_AUTO_JSON two = sup_hook_result(h); /* the front's channel was full */
    assert_true(json_equal(one, two));
    assert_string_equal(output(two), "hello\n");
    sup_hook_free(h);
    assert_null(sup_hook_result(h));
    assert_false(h->used);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(words_are_arguments_never_a_shell_line),
        T(the_environment_is_ours_alone),
        T(no_descriptor_signal_or_place_is_inherited),
        T(status_and_signal_are_told),
        T(commands_around_the_work),
        T(a_command_that_is_not_there_is_told),
        T(the_time_limit_ends_the_whole_group),
        T(what_a_hook_leaves_behind_lives_on),
        T(standard_input_is_empty),
        T(the_last_part_of_long_output_is_kept),
        T(a_hook_may_print_faster_than_we_read),
        T(endless_output_does_not_hold_up_the_loop),
        T(output_is_made_plain_text),
        T(a_cut_character_harms_only_itself),
        T(what_is_not_configured_is_refused),
        T(programs_get_words_and_credentials),
        T(only_so_many_run_at_a_time),
        T(a_result_waits_until_it_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
