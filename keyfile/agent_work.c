/* The agent's worker thread and what its jobs have in common. */
#include "keyfile/agent_work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/seal.h"

struct kfa_work {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    /* under lock */
    struct kfa_job *quick, **quick_end; /* EC keys: never behind RSA keys, which take seconds */
    struct kfa_job *slow, **slow_end;
    struct kfa_job *done, **done_end;
    size_t count;     /* pushed and not popped */
    int64_t began_ms; /* monotonic, of the job that runs; 0 = none */
    bool stop;
    int fd; /* eventfd */
};

struct kfa_job *kfa_job_new(void)
{
    return cm_calloc(1, sizeof(struct kfa_job));
}

void kfa_job_free(struct kfa_job *job)
{
    if (!job)
        return;
    for (size_t i = 0; i < job->recipient_count; i++)
        X509_free(job->recipient[i]);
    if (job->own_free)
        job->own_free(job->own);
    json_decref(job->names);
    json_decref(job->reply);
    cm_err_fini(&job->err);
    cm_free(job);
}

int kfa_job_seal_for(struct kfa_job *job, X509 *recipient, struct cm_err *err)
{
    if (job->recipient_count == KF_RECIPIENTS_MAX)
        return cm_fail(err, CM_ELIMIT, "a key is sealed for at most %d servers", KF_RECIPIENTS_MAX);
    X509_up_ref(recipient);
    job->recipient[job->recipient_count++] = recipient;
    return 0;
}

int kfa_job_seal(struct kfa_job *job, const EVP_PKEY *key)
{
    KF_AUTO_SECRET text = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    int rc = kf_bound_write(&job->binding, key, job->now_ms, &text, &job->err);
    if (rc == 0)
        rc = kf_seal(text.data, text.len, job->recipient, job->recipient_count, &der, &len,
                     &job->err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR sealed = cm_b64(der, len);
    cm_free(der);
    job->reply = json_object();
    cm_json_set_str(job->reply, "sealed_key", sealed);
    return 0;
}

int kfa_job_make_key(struct kfa_job *job, EVP_PKEY **ret_key)
{
    int rc = kf_pkey_generate(job->type, ret_key, &job->err);
    return rc < 0 ? rc : kfa_job_seal(job, *ret_key);
}

static void append(struct kfa_job ***end, struct kfa_job *job)
{
    job->next = NULL;
    **end = job;
    *end = &job->next;
}

static struct kfa_job *take(struct kfa_job **head, struct kfa_job ***end)
{
    struct kfa_job *job = *head;
    if (!job)
        return NULL;
    *head = job->next;
    if (!*head)
        *end = head;
    return job;
}

static struct kfa_job *take_next(struct kfa_work *w)
{
    struct kfa_job *job = take(&w->quick, &w->quick_end);
    return job ? job : take(&w->slow, &w->slow_end);
}

static void *work(void *arg)
{
    struct kfa_work *w = arg;
    const uint64_t one = 1;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct kfa_job *job = take_next(w);
        if (!job) {
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        w->began_ms = cm_mono_ms();
        pthread_mutex_unlock(&w->lock);
        job->run(job);
        pthread_mutex_lock(&w->lock);
        w->began_ms = 0;
        append(&w->done_end, job);
        while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int kfa_work_new(struct kfa_work **ret, struct cm_err *err)
{
    struct kfa_work *w = cm_calloc(1, sizeof(*w));
    *ret = NULL;
    w->quick_end = &w->quick;
    w->slow_end = &w->slow;
    w->done_end = &w->done;
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->fd < 0) {
        cm_free(w);
        return cm_fail_errno(err, errno, "cannot make the worker of the key agent");
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    /* Signals are the loop's business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        close(w->fd);
        cm_free(w);
        return cm_fail_errno(err, failed, "cannot start the worker of the key agent");
    }
    *ret = w;
    return 0;
}

void kfa_work_free(struct kfa_work *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (struct kfa_job *job = take_next(w); job; job = take_next(w))
        kfa_job_free(job);
    for (struct kfa_job *job = take(&w->done, &w->done_end); job;
         job = take(&w->done, &w->done_end))
        kfa_job_free(job);
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
    close(w->fd);
    cm_free(w);
}

int kfa_work_push(struct kfa_work *w, struct kfa_job *job, struct cm_err *err)
{
    pthread_mutex_lock(&w->lock);
    bool full = w->count == KFA_QUEUE_MAX;
    if (!full) {
        bool quick = job->type == KF_KEY_P256 || job->type == KF_KEY_P384;
        w->count++;
        append(quick ? &w->quick_end : &w->slow_end, job);
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    if (!full)
        return 0;
    kfa_job_free(job);
    return cm_fail(err, CM_EBUSY, "%d keys are being made already; try again", KFA_QUEUE_MAX);
}

struct kfa_job *kfa_work_pop(struct kfa_work *w)
{
    /* Reset before the look: a job that finishes after it makes the descriptor readable again. */
    uint64_t seen;
    ssize_t got = read(w->fd, &seen, sizeof(seen));
    (void)got;
    pthread_mutex_lock(&w->lock);
    struct kfa_job *job = take(&w->done, &w->done_end);
    if (job)
        w->count--;
    pthread_mutex_unlock(&w->lock);
    return job;
}

int kfa_work_fd(const struct kfa_work *w)
{
    return w->fd;
}

int64_t kfa_work_running_ms(struct kfa_work *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t ms = w->began_ms > 0 ? cm_mono_ms() - w->began_ms : 0;
    pthread_mutex_unlock(&w->lock);
    return ms;
}
