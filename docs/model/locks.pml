/* Transactions of PostgreSQL, opened up into their row locks: park against finish against cancel; rules 5 and 6.
 *
 * On SQLite a transaction is alone, as in the other two models. On PostgreSQL each statement sees what is committed by
 * then, and a transaction waits for row locks, so here each statement is a step of its own. Reading needs no lock; what
 * is written shows at the commit.
 *
 * P is a delegated agent in conversation X; its children A and B are in its own conversation Y. Q is a function in X that
 * waits, by their ids, for some of the others. Ids are random in the code; here the order of the rows is A, P, B, Q, so a
 * child stands before its parent and another one after it. All four run at once, each in its own worker.
 * Without conversations (apart is true) only the locks of tasks are left.
 *
 * Scene -DMERGED: A and B run in one worker and return at once, so they end in one transaction.
 */
#define X 0
#define Y 1
#define A 2
#define P 3
#define B 4
#define Q 5
#define CIRCLES 6    /* pg_advisory_xact_lock of broker/waits.py check_no_circle */
#define ROWS 7
#define NOBODY 255

mtype = { QUEUED, RUNNING, WAITING, ENDED };

typedef Row {
  mtype status;
  byte edges;        /* wait rows of this waiter, one bit for each awaited task */
  byte waits_left;
  bool cancel;
}
Row row[ROWS];
byte holder[ROWS];   /* the process that has locked it */
bool apart;
hidden byte r, k;    /* scratch inside d_step */

#define BIT(i) (1 << (i))
#define HAS(set, i) ((set) & (1 << (i)))
#define IS_TASK(i) (i == A || i == P || i == B || i == Q)
#define LIVE(i) (row[i].status != ENDED)
#define WAITERS_OF(t) ((HAS(row[P].edges, t) -> BIT(P) : 0) | (HAS(row[Q].edges, t) -> BIT(Q) : 0))
/* rows.lock_conversations of a run: P writes in both */
#define CONVERSATIONS(t) (apart -> 0 : (t == P -> BIT(X) | BIT(Y) : (t == Q -> BIT(X) : BIT(Y))))

inline to_next() {  /* the next row of `want` */
  do
  :: at < ROWS && !HAS(want, at) -> at++
  :: else -> break
  od;
  k = 0
}

inline lock() {  /* broker/rows.py lock: the rows of `want` in their order, waiting for each */
  d_step { at = 0; to_next() };
  do
  :: d_step { at < ROWS && (holder[at] == NOBODY || holder[at] == _pid) -> holder[at] = _pid; at++; to_next() }
  :: at == ROWS -> break
  od;
  at = 0
}

inline lock_now() {  /* broker/rows.py lock_now: without waiting; failed says that somebody else has one of them */
  d_step {
    failed = false; r = 0;
    do
    :: r < ROWS -> failed = failed || (HAS(want, r) && holder[r] != NOBODY && holder[r] != _pid); r++
    :: else -> break
    od;
    r = 0;
    do
    :: r < ROWS && !failed && HAS(want, r) -> holder[r] = _pid; r++
    :: r < ROWS && (failed || !HAS(want, r)) -> r++
    :: r == ROWS -> break
    od
  }
}

inline let_go() {  /* at the end of a transaction, commit or rollback; and what is true after every commit */
  r = 0;
  do
  :: r < ROWS -> holder[r] = (holder[r] == _pid -> NOBODY : holder[r]); r++
  :: else -> break
  od;
  r = A;
  do
  :: r < CIRCLES ->
     /* nobody is left asleep */
     assert(row[r].status != WAITING || (row[r].edges != 0 && row[r].waits_left > 0));
     assert(!HAS(row[r].edges, A) || LIVE(A));
     assert(!HAS(row[r].edges, B) || LIVE(B));
     assert(!HAS(row[r].edges, P) || LIVE(P));
     r++
  :: else -> break
  od;
  assert(!(HAS(row[P].edges, Q) && HAS(row[Q].edges, P)))  /* nobody waits in a circle */
}

inline wake(w) { row[w].edges = 0; row[w].waits_left = 0; row[w].status = QUEUED }  /* broker/turns.py wake */

inline release_waiters(t) {  /* broker/endings.py _release_waiters */
  k = A;
  do
  :: k < CIRCLES && HAS(waiters, k) ->
     assert(holder[k] == _pid);  /* it writes only what it has locked */
     row[k].edges = row[k].edges & (255 ^ BIT(t)); row[k].waits_left--;
     if
     :: row[k].waits_left == 0 -> wake(k)
     :: else
     fi;
     k++
  :: k < CIRCLES && !HAS(waiters, k) -> k++
  :: k == CIRCLES -> break
  od
}

inline claim(t) {  /* broker/queue.py claim: SKIP LOCKED, so it never waits */
  atomic { row[t].status == QUEUED && holder[t] == NOBODY -> row[t].status = RUNNING }
}

inline finish(t) {  /* broker/queue.py finish, agents/storage.py finish_turn, broker/endings.py end */
  do
  :: want = CONVERSATIONS(t); lock();
#ifdef FINISH_LOCKS_IN_ANY_ORDER
     want = BIT(t); lock(); want = WAITERS_OF(t); lock();
#else
     want = WAITERS_OF(t) | BIT(t); lock();
#endif
     waiters = WAITERS_OF(t); want = waiters;  /* one may have begun to wait before this task was locked */
     lock_now();
     if
     :: failed
     :: !failed && !apart && (t == A || t == B) ->
#ifdef WAKE_WAITS_FOR_A_LOCK
        want = BIT(P); lock()
#else
        want = BIT(P); lock_now()  /* broker/turns.py advance, _wake_delegated: the notice wakes who filed it */
#endif
     :: else
     fi;
     if
     :: failed -> d_step { let_go(); failed = false; want = 0; waiters = 0 }  /* rolled back, and run again */
     :: else -> break
     fi
  od;
  skip;
  d_step {
    assert(row[t].status == RUNNING && holder[t] == _pid);
    row[t].status = ENDED;
    release_waiters(t);
    if
    :: !apart && (t == A || t == B) && row[P].status == WAITING -> wake(P)
    :: else
    fi;
    let_go(); want = 0; waiters = 0
  }
}

inline park(w, set) {  /* agents/task_storage.py wait_or_park, broker/durable.py record_wait, broker/waits.py park */
  want = CONVERSATIONS(w); lock();
#ifdef PARK_DOES_NOT_LOCK
  want = BIT(w); lock();
#else
  want = BIT(w) | set; lock();  /* queue.held_row(…, also=awaited) */
#endif
  want = BIT(CIRCLES); lock();
  /* check_no_circle, and the states of the awaited tasks: the statements that read */
  d_step {
    want = 0;
    if
    :: HAS(set, w) || row[w].cancel || (w == P && HAS(set, Q) && HAS(row[Q].edges, P)) ||
       (w == Q && HAS(set, P) && HAS(row[P].edges, Q))
    :: else ->
       want = (HAS(set, A) && LIVE(A) -> BIT(A) : 0) | (HAS(set, B) && LIVE(B) -> BIT(B) : 0) |
              (HAS(set, P) && LIVE(P) -> BIT(P) : 0) | (HAS(set, Q) && LIVE(Q) -> BIT(Q) : 0)
    fi
  };
  d_step {  /* … and those that write, with the commit */
    assert(row[w].status == RUNNING && holder[w] == _pid);
    if
    :: want != 0 ->
       row[w].status = WAITING; row[w].edges = want;
       row[w].waits_left = (HAS(want, A) -> 1 : 0) + (HAS(want, B) -> 1 : 0) + (HAS(want, P) -> 1 : 0) +
                           (HAS(want, Q) -> 1 : 0)
    :: else
    fi;
    let_go()
  }
}

inline cancel_task(t, family) {  /* broker/cancel.py cancel_task: of a family */
  do
  :: want = (apart -> 0 : BIT(X) | (t == P -> BIT(Y) : 0)); lock();
     want = family | WAITERS_OF(t) | (t == P -> WAITERS_OF(A) | WAITERS_OF(B) : 0); lock();
     waiters = (t == Q -> WAITERS_OF(Q) : 0); want = waiters;  /* end(): as in finish */
     lock_now();
     if
     :: failed -> d_step { let_go(); failed = false; want = 0; waiters = 0 }
     :: else -> break
     fi
  od;
  skip;
  d_step {
    if
    :: t == Q && (row[Q].status == QUEUED || row[Q].status == WAITING) ->  /* a function that runs nowhere ends */
       row[Q].edges = 0; row[Q].waits_left = 0; row[Q].status = ENDED;
       release_waiters(Q)
    :: t == P && LIVE(P) ->  /* ask_turn */
       row[P].cancel = true;
       if
       :: row[P].status == WAITING -> wake(P)
       :: else
       fi
    :: else
    fi;
    let_go(); want = 0; waiters = 0
  }
}

proctype Child(byte t) {  /* a task function that returns */
  byte want, waiters, at;
  bool failed;
  finish(t)
}

#ifdef MERGED
proctype Children() {  /* broker/finishing.py finish_many: both return at once, and end in one transaction */
  byte want, waiters, at, alone;
  bool failed;
  want = CONVERSATIONS(A); lock();
#ifdef MERGED_LOOKS_BEFORE_IT_LOCKS
  alone = (WAITERS_OF(A) != 0 -> BIT(A) : 0) | (WAITERS_OF(B) != 0 -> BIT(B) : 0);
#endif
  want = BIT(A) | BIT(B); lock();
#ifndef MERGED_LOOKS_BEFORE_IT_LOCKS
  alone = (WAITERS_OF(A) != 0 -> BIT(A) : 0) | (WAITERS_OF(B) != 0 -> BIT(B) : 0);  /* AWAITED: those end by themselves */
#endif
  if
  :: !apart && alone != (BIT(A) | BIT(B)) -> want = BIT(P); lock_now()  /* _advance_each: as in finish */
  :: else
  fi;
  d_step {
    if
    :: failed -> alone = BIT(A) | BIT(B)  /* undone, and each ends by itself */
    :: !failed ->
       row[A].status = (HAS(alone, A) -> RUNNING : ENDED);
       row[B].status = (HAS(alone, B) -> RUNNING : ENDED);
       if
       :: !apart && alone != (BIT(A) | BIT(B)) && row[P].status == WAITING -> wake(P)
       :: else
       fi
    fi;
    let_go(); failed = false; want = 0
  };
  if
  :: HAS(alone, A) -> finish(A)
  :: else
  fi;
  if
  :: HAS(alone, B) -> finish(B)
  :: else
  fi
}
#endif

proctype Parent(byte t; byte set) {  /* waits, is woken, runs again from the top, and ends */
  byte want, waiters, at;
  bool failed;
  do
  :: row[t].status == RUNNING ->
     park(t, set);
     if
     :: want == 0 -> finish(t); break
     :: else -> want = 0
     fi
  :: claim(t)
  :: row[t].status == ENDED -> break  /* it was cancelled while it ran nowhere */
  od
}

proctype Control() {
  byte want, waiters, at;
  bool failed;
  if
  :: cancel_task(P, BIT(P) | BIT(A) | BIT(B))
  :: cancel_task(Q, BIT(Q))
  fi
}

/* What must be true when nothing can happen any more: no locks wait for each other, and nobody is asleep. */
proctype Quiet() {
  timeout ->
  assert(!LIVE(A) && !LIVE(B) && !LIVE(P) && !LIVE(Q))
}

init {
  atomic {
    do
    :: d_step { r < ROWS -> holder[r] = NOBODY; row[r].status = RUNNING; r++ }
    :: else -> break
    od;
#ifdef MERGED
    run Children();
#else
    run Child(A); run Child(B);
#endif
    if
    :: apart = true;
       run Parent(P, BIT(A) | BIT(B)); run Parent(Q, BIT(A) | BIT(B))
    :: apart = false;
       run Parent(P, BIT(A) | BIT(B)); run Parent(Q, BIT(P) | BIT(B))
    :: apart = false;
       run Parent(P, BIT(B) | BIT(Q)); run Parent(Q, BIT(A) | BIT(P))  /* one of them would close a circle */
    fi;
    run Control(); run Quiet()
  }
}
