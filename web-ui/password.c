/* Argon2id jobs.  See password.h. */
#include "web-ui/password.h"

#include <argon2.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "web-ui/web.h"

#define ARGON_PASSES 3
#define ARGON_KIB    65536
#define ARGON_LANES  1
#define ARGON_SALT   16
#define ARGON_HASH   32
#define ARGON_PREFIX "$argon2id$v=19$m=65536,t=3,p=1$"

struct job {
    struct web_passwords *pool;
    struct job *next;
    char *password;
    char encoded[PASSWORD_ENCODED_MAX]; /* stored hash; "" = none */
    bool check, matches, failed;
    uint8_t salt[ARGON_SALT];
    char fresh[PASSWORD_ENCODED_MAX]; /* new hash; "" = none */
    web_password_fn fn;
    void *arg;
};

struct web_passwords {
    struct cm_loop *loop;
    struct job *head, **tail;
    size_t waiting, running;
    bool closing;
};

struct web_passwords *web_passwords_new(struct cm_loop *loop)
{
    struct web_passwords *pool = cm_calloc(1, sizeof(*pool));

    pool->loop = loop;
    pool->tail = &pool->head;
    return pool;
}

static void job_free(struct job *job)
{
    cm_free_secret(job->password, strlen(job->password));
    cm_free_secret(job, sizeof(*job));
}

/* Worker thread: touches nothing but the job. */
static void job_run(void *arg)
{
    struct job *job = arg;
    size_t len = strlen(job->password);

    if (job->check && job->encoded[0])
        job->matches = argon2id_verify(job->encoded, job->password, len) == ARGON2_OK;
    /* A missing user costs a hash too; a match under old parameters is stored anew. */
    if (!job->check || !job->encoded[0] ||
        (job->matches && strncmp(job->encoded, ARGON_PREFIX, sizeof(ARGON_PREFIX) - 1) != 0))
        job->failed = argon2id_hash_encoded(ARGON_PASSES, ARGON_KIB, ARGON_LANES, job->password,
                                            len, job->salt, ARGON_SALT, ARGON_HASH, job->fresh,
                                            sizeof(job->fresh)) != ARGON2_OK;
}

static void job_end(struct job *job, const struct cm_err *err)
{
    bool store = job->fresh[0] && (!job->check || job->matches);

    job->fn(job->arg, job->matches, store ? job->fresh : NULL, err);
    job_free(job);
}

static void job_done(void *arg);

static void start_jobs(struct web_passwords *pool)
{
    while (pool->head && pool->running < WEB_LOGIN_JOBS_MAX) {
        struct job *job = pool->head;

        pool->head = job->next;
        if (!pool->head)
            pool->tail = &pool->head;
        pool->waiting--;
        pool->running++;
        cm_loop_work(pool->loop, job_run, job_done, job);
    }
}

static void job_done(void *arg)
{
    struct job *job = arg;
    struct web_passwords *pool = job->pool;
    struct cm_err err = CM_ERR_INIT;

    pool->running--;
    if (pool->closing)
        cm_fail(&err, CM_ECLOSED, "the server is stopping");
    else if (job->failed && !(job->check && job->matches))
        cm_fail(&err, CM_EBUSY, "a password could not be hashed: not enough memory");
    job_end(job, err.code ? &err : NULL);
    if (!pool->closing)
        start_jobs(pool);
    else if (pool->running == 0)
        cm_free(pool);
}

void web_passwords_free(struct web_passwords *pool)
{
    struct cm_err err = CM_ERR_INIT;

    if (!pool)
        return;
    cm_fail(&err, CM_ECLOSED, "the server is stopping");
    pool->closing = true;
    for (struct job *job = pool->head, *next; job; job = next) {
        next = job->next;
        job_end(job, &err);
    }
    pool->head = NULL;
    if (pool->running == 0)
        cm_free(pool);
}

static int add_job(struct web_passwords *pool, const char *password, const char *encoded,
                   bool check, web_password_fn fn, void *arg, struct cm_err *err)
{
    struct job *job;

    if (pool->waiting >= PASSWORD_QUEUE_MAX)
        return cm_fail(err, CM_EBUSY, "too many logins at a time; try again in a few seconds");
    job = cm_calloc(1, sizeof(*job));
    job->pool = pool;
    job->password = cm_strdup(password);
    job->check = check;
    job->fn = fn;
    job->arg = arg;
    cm_random(job->salt, sizeof(job->salt));
    if (encoded && cm_strcpy(job->encoded, sizeof(job->encoded), encoded) < 0)
        job->encoded[0] = '\0'; /* damaged record: nobody matches it */
    *pool->tail = job;
    pool->tail = &job->next;
    pool->waiting++;
    start_jobs(pool);
    return 0;
}

int web_password_hash(struct web_passwords *pool, const char *password, web_password_fn fn,
                      void *arg, struct cm_err *err)
{
    return add_job(pool, password, NULL, false, fn, arg, err);
}

int web_password_check(struct web_passwords *pool, const char *password, const char *encoded,
                       web_password_fn fn, void *arg, struct cm_err *err)
{
    return add_job(pool, password, encoded, true, fn, arg, err);
}
