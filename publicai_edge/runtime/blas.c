/* What numpy's wheels ask of OpenBLAS, in 35 KB instead of 28 MB: their library of that name is replaced by this one.

   A kiosk multiplies no large matrices with numpy: the model and the search model have code of their own. The functions
   of BLAS are here, plain; those of LAPACK, which only numpy.linalg calls, end the program. Names and 64-bit counts are
   those of the wheels ("scipy_", "64_"); a wheel that asks for another name is refused when the runtime is made. */

#include <complex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int64_t count;
enum { ROWS = 101, PLAIN = 111, CONJUGATED = 113, UPPER = 121 };

#define START(n, step) ((step) < 0 ? (1 - (n)) * (step) : 0)
#define SAME(x) (x)

/* a(i, j) of a matrix as it is seen after order and transposition: the stride of i and that of j. */
#define STRIDES(order, trans, lead, i, j)                                                                              \
    const int turned = ((order) == ROWS) == ((trans) == PLAIN);                                                        \
    const count i = turned ? (lead) : 1, j = turned ? 1 : (lead)

#define DOT(name, type, result, take, give)                                                                            \
    result {                                                                                                           \
        const type *x = px, *y = py;                                                                                   \
        type sum = 0;                                                                                                  \
        for (count i = 0, a = START(n, dx), b = START(n, dy); i < n; i++, a += dx, b += dy) sum += take(x[a]) * y[b];  \
        give;                                                                                                          \
    }

#define FAMILY(p, type, conjugate, number, value)                                                                      \
    void scipy_cblas_##p##axpy64_(count n, number alpha, const void *px, count dx, void *py, count dy) {               \
        const type *x = px, factor = value(alpha);                                                                     \
        type *y = py;                                                                                                  \
        for (count i = 0, a = START(n, dx), b = START(n, dy); i < n; i++, a += dx, b += dy) y[b] += factor * x[a];     \
    }                                                                                                                  \
    static void p##multiply(count m, count n, count k, type alpha, const type *a, count ai, count aj, int ac,          \
                            const type *b, count bi, count bj, int bc, type beta, type *c, count ci, count cj,         \
                            int part) {                                                                                \
        for (count i = 0; i < m; i++)                                                                                  \
            for (count j = part > 0 ? i : 0; j < (part < 0 ? i + 1 : n); j++) {                                        \
                type sum = 0;                                                                                          \
                for (count l = 0; l < k; l++) {                                                                        \
                    const type u = a[i * ai + l * aj], v = b[l * bi + j * bj];                                         \
                    sum += (ac ? conjugate(u) : u) * (bc ? conjugate(v) : v);                                          \
                }                                                                                                      \
                type *out = &c[i * ci + j * cj];                                                                       \
                *out = alpha * sum + (beta == 0 ? 0 : beta * *out);                                                    \
            }                                                                                                          \
    }                                                                                                                  \
    void scipy_cblas_##p##gemm64_(int order, int ta, int tb, count m, count n, count k, number alpha, const void *a,   \
                                  count la, const void *b, count lb, number beta, void *c, count lc) {                 \
        STRIDES(order, ta, la, ai, aj);                                                                                \
        {                                                                                                              \
            STRIDES(order, tb, lb, bi, bj);                                                                            \
            p##multiply(m, n, k, value(alpha), a, ai, aj, ta == CONJUGATED, b, bi, bj, tb == CONJUGATED, value(beta),  \
                        c, order == ROWS ? lc : 1, order == ROWS ? 1 : lc, 0);                                         \
        }                                                                                                              \
    }                                                                                                                  \
    void scipy_cblas_##p##gemv64_(int order, int ta, count m, count n, number alpha, const void *a, count la,          \
                                  const void *x, count dx, number beta, void *py, count dy) {                          \
        STRIDES(order, ta, la, ai, aj);                                                                                \
        const count rows = ta == PLAIN ? m : n, columns = ta == PLAIN ? n : m;                                         \
        type *y = py;                                                                                                  \
        p##multiply(rows, 1, columns, value(alpha), a, ai, aj, ta == CONJUGATED, (const type *)x + START(columns, dx), \
                    dx, 0, 0, value(beta), y + START(rows, dy), dy, 0, 0);                                             \
    }                                                                                                                  \
    void scipy_cblas_##p##syrk64_(int order, int half, int ta, count n, count k, number alpha, const void *a,          \
                                  count la, number beta, void *c, count lc) {                                          \
        STRIDES(order, ta, la, ai, aj);                                                                                \
        p##multiply(n, n, k, value(alpha), a, ai, aj, 0, a, aj, ai, 0, value(beta), c, order == ROWS ? lc : 1,         \
                    order == ROWS ? 1 : lc, half == UPPER ? 1 : -1);                                                   \
    }

#define READ_C(p) (*(const float complex *)(p))
#define READ_Z(p) (*(const double complex *)(p))

FAMILY(s, float, SAME, float, SAME)
FAMILY(d, double, SAME, double, SAME)
FAMILY(c, float complex, conjf, const void *, READ_C)
FAMILY(z, double complex, conj, const void *, READ_Z)

#define REAL_DOT(p, type)                                                                                              \
    DOT(p, type, type scipy_cblas_##p##dot64_(count n, const void *px, count dx, const void *py, count dy), SAME,      \
        return sum)
#define COMPLEX_DOT(p, type, kind, take)                                                                               \
    DOT(p, type, void scipy_cblas_##p##dot##kind##_sub64_(count n, const void *px, count dx, const void *py, count dy, \
                                                          void *out),                                                  \
        take, *(type *)out = sum)

REAL_DOT(s, float)
REAL_DOT(d, double)
COMPLEX_DOT(c, float complex, u, SAME)
COMPLEX_DOT(c, float complex, c, conjf)
COMPLEX_DOT(z, double complex, u, SAME)
COMPLEX_DOT(z, double complex, c, conj)

#define ABSENT(name)                                                                                                   \
    void scipy_##name##_64_(void) {                                                                                    \
        fputs("This program has no LAPACK: " #name "\n", stderr);                                                      \
        abort();                                                                                                       \
    }
#define ABSENT_4(name) ABSENT(s##name) ABSENT(d##name) ABSENT(c##name) ABSENT(z##name)

ABSENT_4(copy)
ABSENT_4(gelsd)
ABSENT_4(gesdd)
ABSENT_4(gesv)
ABSENT_4(getrf)
ABSENT_4(potrf)
ABSENT(sgeev) ABSENT(dgeev) ABSENT(cgeev) ABSENT(zgeev)
ABSENT(ssyevd) ABSENT(dsyevd) ABSENT(cheevd) ABSENT(zheevd)
ABSENT(dgeqrf) ABSENT(zgeqrf) ABSENT(dorgqr) ABSENT(zungqr)
