/* The bound on values of a JSON text.  See values.h. */
#include "replicator/values.h"

#ifdef __x86_64__
#include <emmintrin.h>
#endif

#define STEP   16
#define ROUNDS 255 /* a byte's counter holds so many */

#ifdef __x86_64__

/* Of whole steps of 16 bytes, each with a counter of its own: megabytes pass here. */
static size_t count_steps(const char *text, size_t steps)
{
    size_t count = 0;
    while (steps > 0) {
        size_t rounds = steps < ROUNDS ? steps : ROUNDS;
        __m128i sum = _mm_setzero_si128();
        for (size_t i = 0; i < rounds; i++, text += STEP) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
            /* '[' and '{' differ in one bit, which '[' lacks. */
            __m128i open =
                _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8('[' ^ '{')), _mm_set1_epi8('{'));
            __m128i found = _mm_or_si128(open, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(',')));
            sum = _mm_sub_epi8(sum, found); /* what was found is -1 */
        }
        __m128i halves = _mm_sad_epu8(sum, _mm_setzero_si128());
        count += (size_t)_mm_cvtsi128_si64(halves) +
                 (size_t)_mm_cvtsi128_si64(_mm_srli_si128(halves, 8));
        steps -= rounds;
    }
    return count;
}

#else

static size_t count_steps(const char *text, size_t steps)
{
    size_t count = 0;
    for (size_t i = 0; i < steps * STEP; i++)
        count += (text[i] == ',') | (text[i] == '[') | (text[i] == '{');
    return count;
}

#endif

bool rp_values_ok(const char *text, size_t len)
{
    size_t count = count_steps(text, len / STEP);
    for (size_t i = len - len % STEP; i < len; i++)
        count += (text[i] == ',') | (text[i] == '[') | (text[i] == '{');
    return count <= RP_VALUES_MAX;
}
