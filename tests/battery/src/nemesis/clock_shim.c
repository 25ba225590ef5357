/* A wall clock that can be moved: preloaded into one redis-server.
 *
 * The file named by BATTERY_CLOCK holds three signed 64-bit numbers. The first, in microseconds, is added to every
 * reading of the wall clock. The second is how much faster than the monotonic clock it runs, in millionths, since the
 * monotonic clock showed the third, in microseconds. The monotonic clock is left alone. The kernel is asked directly:
 * looking up the real functions would allocate memory before the allocator is ready. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moves;

/* Microseconds to be added. */
static int64_t ahead(void) {
    struct timespec now;
    if (moves[1] == 0 || syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) != 0) return moves[0];
    return moves[0] + ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - moves[2]) / 1000 * moves[1] / 1000;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("BATTERY_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, 3 * sizeof *moves, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) moves = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && moves && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t by = ahead();
        int64_t moved = time->tv_nsec / 1000 + by % 1000000;
        int64_t seconds = time->tv_sec + by / 1000000;
        if (moved < 0) {
            moved += 1000000;
            seconds -= 1;
        } else if (moved >= 1000000) {
            moved -= 1000000;
            seconds += 1;
        }
        time->tv_sec = seconds;
        time->tv_nsec = moved * 1000 + time->tv_nsec % 1000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (time != NULL) {
        time->tv_sec = now.tv_sec;
        time->tv_usec = now.tv_nsec / 1000;
    }
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
