/*
 * The changes feed as a stream: a page of the store's feed per step, parked when caught up.
 *
 * The store is read into memory first and the rows written afterwards, so that no read transaction
 * is open while a client takes its time.
 */
#include "replicator/feed.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/seq.h"

#define PAGE         256  /* changes looked at in one step */
#define WINDOW       1000 /* sequences looked at in one step, newest first */
#define PENDING_SCAN 200  /* counted exactly up to here, estimated beyond */

struct row {
    int64_t seq;
    char *id;
    char *text; /* without the closing brace: a document may follow */
};

struct feed {
    struct rp_stream s; /* first */
    struct rp_feed_opts o;
    char peer[RP_PEER_NAME_MAX + 1];
    bool manager;
    bool opened;    /* the head of the answer was made */
    int64_t cursor; /* looked at up to here (descending: still to look at) */
    int64_t last;   /* sequence of the last row sent */
    int64_t sent;
    /* the page being collected: kept only while it has rows, thousands of feeds may be parked */
    struct row *row;
    size_t rows, looked_at;
};

/* ---- reading ------------------------------------------------------------------------------ */

static bool wanted(const struct feed *feed, const char *id)
{
    if (!rp_readable(feed->s.server, feed->manager, id))
        return false;
    if (feed->o.doc_ids)
        return json_object_get(feed->o.doc_ids, id) != NULL;
    return !feed->o.design_only || strncmp(id, "_design/", 8) == 0;
}

static char *render(const struct feed *feed, const struct cs_change *change)
{
    struct cm_buf text;
    char seq[RP_SEQ_TEXT];
    size_t leaves = feed->o.all_leaves ? change->leaf_count : 1;
    cm_buf_init(&text, RP_OUT_MAX);
    rp_seq_format(change->seq, cs_epoch(feed->s.server->store), seq);
    cm_buf_printf(&text, "{\"seq\":\"%s\",\"id\":", seq);
    rp_json_str(&text, change->id);
    cm_buf_puts(&text, ",\"changes\":[");
    for (size_t i = 0; i < leaves && i < change->leaf_count; i++) {
        cm_buf_puts(&text, i == 0 ? "{\"rev\":" : ",{\"rev\":");
        rp_json_str(&text, change->leaf_rev[i]);
        cm_buf_putc(&text, '}');
    }
    cm_buf_puts(&text, change->deleted ? "],\"deleted\":true" : "]");
    return cm_buf_take(&text, NULL);
}

static int collect(void *arg, const struct cs_change *change)
{
    struct feed *feed = arg;
    if (feed->o.descending && change->seq > feed->cursor)
        return 1;
    feed->looked_at++;
    if (!feed->o.descending)
        feed->cursor = change->seq;
    if (wanted(feed, change->id)) {
        if (!feed->row)
            feed->row = cm_malloc(WINDOW * sizeof(*feed->row));
        feed->row[feed->rows++] = (struct row){
            .seq = change->seq, .id = cm_strdup(change->id), .text = render(feed, change)};
    }
    /* Oldest first, the page ends with the limit, so that the cursor is the last row's. */
    return !feed->o.descending && feed->sent + (int64_t)feed->rows >= feed->o.limit;
}

static void add_doc(struct feed *feed, const char *id)
{
    struct cs_store *store = feed->s.server->store;
    CM_AUTO_JSON doc = NULL;
    if (cs_read_rev(store, id, NULL, false, false, &doc, NULL) < 0)
        return;
    rp_add_conflicts(store, id, doc, feed->o.conflicts, false);
    CM_AUTO_STR text = cm_json_dump(doc, NULL);
    cm_buf_puts(&feed->s.out, ",\"doc\":");
    cm_buf_puts(&feed->s.out, text);
}

static void send_row(struct feed *feed, const struct row *row)
{
    struct cm_buf *out = &feed->s.out;
    bool lines = feed->o.kind == RP_FEED_CONTINUOUS;
    if (!lines && feed->sent > 0)
        cm_buf_puts(out, ",\n");
    cm_buf_puts(out, row->text);
    if (feed->o.include_docs)
        add_doc(feed, row->id);
    cm_buf_puts(out, lines ? "}\n" : "}");
    feed->last = row->seq;
    feed->sent++;
}

static void forget_page(struct feed *feed)
{
    for (size_t i = 0; i < feed->rows; i++) {
        cm_free(feed->row[i].id);
        cm_free(feed->row[i].text);
    }
    cm_free(feed->row);
    feed->row = NULL;
    feed->rows = 0;
}

static void send_page(struct feed *feed)
{
    for (size_t i = 0; i < feed->rows; i++) {
        const struct row *row = &feed->row[feed->o.descending ? feed->rows - 1 - i : i];
        if (feed->sent < feed->o.limit)
            send_row(feed, row);
    }
    forget_page(feed);
}

/* ---- the end of the answer ---------------------------------------------------------------- */

static int count_one(void *arg, const struct cs_change *change)
{
    (void)change;
    ++*(int64_t *)arg;
    return 0;
}

/* Changes behind `last`: clients show it as progress, so a bounded effort is enough. */
static int64_t pending(struct cs_store *store, int64_t last)
{
    int64_t behind = cs_seq(store) - last, count = 0;
    if (behind <= 0)
        return 0;
    if (cs_changes(store, last, PENDING_SCAN, count_one, &count, NULL) < 0 || count < PENDING_SCAN)
        return count;
    int64_t documents = cs_doc_count(store) + cs_deleted_count(store);
    int64_t estimate = behind < documents ? behind : documents;
    return estimate > count ? estimate : count;
}

static enum rp_step end(struct feed *feed)
{
    struct cs_store *store = feed->s.server->store;
    bool limited = feed->sent >= feed->o.limit;
    int64_t last = feed->cursor > cs_seq(store) ? feed->cursor : cs_seq(store);
    if (feed->o.descending)
        last = feed->sent > 0 ? feed->last : last;
    else if (limited)
        last = feed->sent > 0 ? feed->last : feed->o.since;
    char seq[RP_SEQ_TEXT];
    rp_seq_format(last, cs_epoch(store), seq);
    if (feed->o.kind == RP_FEED_CONTINUOUS)
        cm_buf_puts(&feed->s.out, "{");
    else
        cm_buf_puts(&feed->s.out, "\n],\n");
    cm_buf_printf(&feed->s.out, "\"last_seq\":\"%s\",\"pending\":%lld}\n", seq,
                  (long long)(feed->o.descending ? 0 : pending(store, last)));
    return RP_END;
}

/* ---- the stream --------------------------------------------------------------------------- */

static void set_due(struct feed *feed)
{
    int64_t ms = feed->o.heartbeat_ms > 0 ? feed->o.heartbeat_ms : feed->o.timeout_ms;
    feed->s.due = cm_mono_ms() + ms;
}

static enum rp_step step_down(struct feed *feed)
{
    int64_t from = feed->cursor > WINDOW ? feed->cursor - WINDOW : 0;
    if (cs_changes(feed->s.server->store, from, WINDOW, collect, feed, NULL) < 0)
        return RP_END;
    send_page(feed);
    feed->cursor = from;
    return feed->cursor == 0 || feed->sent >= feed->o.limit ? end(feed) : RP_MORE;
}

static enum rp_step step(struct rp_stream *stream)
{
    struct feed *feed = (struct feed *)stream;
    bool first = !feed->opened;
    if (first && feed->o.kind != RP_FEED_CONTINUOUS)
        cm_buf_puts(&stream->out, "{\"results\":[\n");
    feed->opened = true;
    /* The trust root may have removed this peer since it began to listen. */
    if (!first && !rp_still_peer(stream->server, stream->ex))
        return RP_END;
    if (feed->sent >= feed->o.limit)
        return end(feed);
    if (feed->o.descending)
        return step_down(feed);
    feed->looked_at = 0;
    if (cs_changes(stream->server->store, feed->cursor, PAGE, collect, feed, NULL) < 0)
        return RP_END;
    bool any = feed->rows > 0;
    send_page(feed);
    if (any || first)
        set_due(feed);
    if (feed->sent >= feed->o.limit)
        return end(feed);
    if (feed->looked_at >= PAGE)
        return RP_MORE;
    if (feed->o.kind == RP_FEED_NORMAL || (feed->o.kind == RP_FEED_LONGPOLL && feed->sent > 0))
        return end(feed);
    return RP_PARK;
}

static enum rp_step tick(struct rp_stream *stream)
{
    struct feed *feed = (struct feed *)stream;
    if (!rp_still_peer(stream->server, stream->ex))
        return RP_END;
    if (feed->o.heartbeat_ms == 0)
        return end(feed);
    rp_seen(stream->server, feed->peer, NULL);
    cm_buf_putc(&stream->out, '\n');
    set_due(feed);
    return RP_PARK;
}

static void fini(struct rp_stream *stream)
{
    struct feed *feed = (struct feed *)stream;
    forget_page(feed);
    json_decref(feed->o.doc_ids);
    cm_free(feed);
}

void rp_feed_start(struct rp_req *req, const struct rp_feed_opts *opts)
{
    struct feed *feed = cm_calloc(1, sizeof(*feed));
    feed->o = *opts;
    feed->manager = req->manager;
    memcpy(feed->peer, req->peer, sizeof(feed->peer));
    feed->cursor = opts->descending ? cs_seq(req->server->store) : opts->since;
    feed->s.step = step;
    feed->s.tick = tick;
    feed->s.fini = fini;
    rp_stream_start(req, &feed->s);
}
