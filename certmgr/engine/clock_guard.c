/* See clock_guard.h. */
#include "certmgr/engine/clock_guard.h"

static bool far(int64_t ms)
{
    return ms > CLOCK_JUMP_MS || ms < -CLOCK_JUMP_MS;
}

static bool begin(struct clock_guard *guard, int64_t wall_ms, int64_t off_ms, bool by_ca)
{
    bool news = !guard->doubt;
    guard->doubt = true;
    guard->by_ca = by_ca;
    guard->off_ms = off_ms;
    if (news)
        guard->since_ms = wall_ms;
    return news;
}

bool clock_guard_look(struct clock_guard *guard, int64_t wall_ms, int64_t boot_ms)
{
    int64_t off = (wall_ms - guard->wall_ms) - (boot_ms - guard->boot_ms);
    bool first = guard->boot_ms == 0;
    guard->wall_ms = wall_ms;
    guard->boot_ms = boot_ms > 0 ? boot_ms : 1;
    return !first && far(off) && begin(guard, wall_ms, off, false);
}

bool clock_guard_date(struct clock_guard *guard, int64_t wall_ms, int64_t date_ms)
{
    int64_t off = wall_ms - date_ms;
    if (far(off))
        return begin(guard, wall_ms, off, true);
    bool was = guard->doubt;
    guard->doubt = false;
    guard->off_ms = 0;
    return was;
}
