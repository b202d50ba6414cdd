/* Work: turns, delegated agents and task functions in the slots of one worker; parking, waking, cancelling; rules 5 to 8.
 *
 * Each transaction of the code is one d_step, as in channels.pml. A run does what any model or function may do: file
 * tasks, wait for some of them, answer; its steps may be interleaved with everything else. Tasks have the numbers in
 * which they are filed; task 0 stands for the conversation's turns, of which at most one is live. There is ONE turn slot
 * and ONE task slot, and tasks may file tasks until all numbers are used: chains are longer than there are slots.
 *
 * Scenes: -DSTUCK: one function blocks its thread for ever, and turns wait with a timeout. -DCHAIN: everybody files one
 * task and waits for it, but for the last. -DNOBODY_CANCELS: else one task, or the turn, is cancelled at any moment.
 */
#ifndef TASKS
#define TASKS 4     /* the turn and what is filed below it */
#endif
#ifndef INPUTS
#define INPUTS 1    /* from a person */
#endif

mtype = { ABSENT, QUEUED, RUNNING, WAITING, ENDED };  /* tasks/states.py; ENDED is each of the four terminal states */
mtype = { TURN, AGENT, FUNCTION };
mtype = { DONE, PARKED, REFUSED, CANCELLED, INTERRUPTED, TIMEOUT, ON };  /* what becomes of a wait, of an end */

typedef Task {
  mtype status;
  mtype kind;
  byte parent;
  byte owner;           /* the TURN or AGENT in whose conversation it is */
  byte edges;           /* rows of the wait table: one bit for each awaited task */
  byte waits_left;
  byte call;            /* the wait that it resumes when it runs again (progress.waits, durable calls); 0: none */
  bool any;             /* … until "any" has ended */
  byte waits;           /* how many waits it may still call: models have limits too */
  bool due;             /* its deadline has passed */
  bool cancel;          /* cancel_requested */
  byte notices;         /* of a TURN or AGENT: in its conversation's inbox */
}
Task task[TASKS];
byte filed = 1;         /* the next task's number */
byte waiting_inputs, accepted, answered;  /* of the conversation */
bool by_person, begun;  /* its live turn: started_by; whether it has taken its input */
mtype verdict;
hidden byte j, k, n, rest, seen, family;  /* scratch of the transaction that is being carried out */
hidden byte circle;
bool stuck;             /* a function blocks the task slot's thread */

#define WAITS 1
#define BIT(i) (1 << (i))
#define HAS(set, i) ((set) & (1 << (i)))
#define FREE(i) (task[i].call == 0 && (i > 0 || begun))
#ifdef CHAIN
#define MAY_FILE(i) (filed == i + 1 && filed < TASKS)
#define MAY_ANSWER(i) ((filed > i + 1 && task[i].waits == 0) || i == TASKS - 1)
#else
#define MAY_FILE(i) (filed < TASKS)
#define MAY_ANSWER(i) true
#endif
#define LIVE(i) (task[i].status == QUEUED || task[i].status == RUNNING || task[i].status == WAITING)

/* --- what is true after every commit */

inline check() {
  j = 0; rest = 0;
  do
  :: j < TASKS ->
     /* nobody is left asleep: who waits for tasks waits for as many live ones as its counter says */
     n = 0; k = 0;
     do
     :: k < TASKS && HAS(task[j].edges, k) -> assert(LIVE(k)); n++; k++
     :: k < TASKS && !HAS(task[j].edges, k) -> k++
     :: k == TASKS -> break
     od;
     assert(task[j].status != WAITING || (task[j].waits_left >= 1 && task[j].waits_left <= n));
     assert(task[j].status == WAITING || task[j].edges == 0);
     if
     :: task[j].status == WAITING -> rest = rest | BIT(j)
     :: else
     fi;
     j++
  :: else -> break
  od;
  /* nobody waits in a circle: taking away whoever waits for nobody who remains takes away everybody */
  n = 0;
  do
  :: n < TASKS ->
     j = 0;
     do
     :: j < TASKS -> rest = (task[j].edges & rest -> rest : rest & (255 ^ BIT(j))); j++
     :: else -> break
     od;
     n++
  :: else -> break
  od;
  assert(rest == 0);
#ifdef CHAINS_ARE_SHORT  /* not a mistake of the code: SPIN must find a chain in which all wait but the last */
  assert(task[0].status != WAITING || task[1].status != WAITING || task[2].status != WAITING ||
         task[TASKS - 3].status != WAITING || task[TASKS - 2].status != WAITING);
#endif
  n = 0; j = 0; k = 0
}

/* --- the database: used inside a d_step */

inline wake(w) {  /* broker/turns.py wake */
  task[w].edges = 0; task[w].waits_left = 0; task[w].status = QUEUED
}

inline advance() {  /* broker/turns.py advance, for the person's conversation: its live turn is task 0 */
  if
  :: task[0].status == WAITING && (waiting_inputs > 0 || task[0].notices > 0) -> wake(0)
  :: task[0].status == ABSENT && (waiting_inputs > 0 || task[0].notices > 0) ->
     task[0].status = QUEUED; task[0].waits = WAITS; by_person = waiting_inputs > 0
  :: else
  fi
}

inline end(e) {  /* broker/endings.py end */
  assert(LIVE(e));  /* exactly one terminal transition */
  task[e].edges = 0; task[e].waits_left = 0; task[e].call = 0; task[e].any = false; task[e].due = false;
  task[e].waits = 0; task[e].notices = (e == 0 -> task[0].notices : 0);
  task[e].status = (e == 0 -> ABSENT : ENDED);
  j = 0;  /* _release_waiters */
  do
  :: j < TASKS && HAS(task[j].edges, e) ->
     task[j].edges = task[j].edges & (255 ^ BIT(e));
     task[j].waits_left--;
     if
     :: task[j].waits_left == 0 -> wake(j)
     :: else
     fi;
     j++
  :: j < TASKS && !HAS(task[j].edges, e) -> j++
  :: j == TASKS -> break
  od;
  j = 0;
  if
  :: e == 0 -> task[0].cancel = false; advance()
  :: e > 0 && task[task[e].parent].kind == FUNCTION  /* announce="none": the function that filed it reads it */
  :: e > 0 && task[task[e].parent].kind != FUNCTION ->  /* broker/notices.py finished */
     k = task[e].owner;
     task[k].notices = (k == 0 || LIVE(k) -> task[k].notices + 1 : 0);
     if
     :: k == 0 -> advance()
     :: k > 0 && task[k].status == WAITING -> wake(k)  /* _wake_delegated */
     :: else
     fi;
     k = 0
  fi
}

inline create_task(p) {  /* agents/task_storage.py create_task, broker/durable.py record_create */
  task[filed].status = QUEUED;
  task[filed].parent = p;
  task[filed].waits = WAITS;
  task[filed].owner = (task[p].kind == FUNCTION -> task[p].owner : p);
  filed++
}

inline check_no_circle(w, set) {  /* broker/waits.py check_no_circle: circle says whether it raises CircularWait */
  seen = set; n = 0;
  do  /* whom it would wait for, directly or not */
  :: n < TASKS ->
     j = 0;
     do
     :: j < TASKS -> seen = (HAS(seen, j) -> seen | task[j].edges : seen); j++
     :: else -> break
     od;
     n++
  :: else -> break
  od;
  rest = BIT(w); j = w;  /* itself and its ancestors */
  do
  :: j > 0 -> j = task[j].parent; rest = rest | BIT(j)
  :: else -> break
  od;
#ifdef WAITS_IN_A_CIRCLE
  circle = 0;
#else
  circle = (seen & rest) != 0;
#endif
  rest = 0; j = 0; n = 0; seen = 0
}

inline park(w, set, is_any) {  /* broker/waits.py park: verdict is PARKED, DONE or REFUSED */
  check_no_circle(w, set);
  if
  :: circle != 0 -> verdict = REFUSED; circle = 0
  :: else ->
     n = 0; rest = 0; j = 0;
     do
     :: j < TASKS && HAS(set, j) && LIVE(j) -> n++; seen = seen | BIT(j); j++
     :: j < TASKS && HAS(set, j) && !LIVE(j) -> rest++; j++
     :: j < TASKS && !HAS(set, j) -> j++
     :: j == TASKS -> break
     od;
     if
     :: is_any -> n = (rest > 0 -> 0 : 1)
     :: else
     fi;
     if
     :: n == 0 -> verdict = DONE
     :: else -> task[w].edges = seen; task[w].waits_left = n; task[w].status = WAITING; verdict = PARKED
     fi;
     n = 0; rest = 0; seen = 0; j = 0
  fi
}

inline wait_or_park(w) {  /* agents/task_storage.py wait_or_park, broker/durable.py record_wait */
  if
  :: task[w].cancel -> verdict = CANCELLED
  :: !task[w].cancel && w == 0 && waiting_inputs > 0 -> verdict = INTERRUPTED
  :: !task[w].cancel && !(w == 0 && waiting_inputs > 0) && task[w].due -> verdict = TIMEOUT
  :: else -> park(w, task[w].call, task[w].any)
  fi;
  if
  :: verdict != PARKED -> task[w].call = 0; task[w].any = false; task[w].due = false
  :: else
  fi
}

inline own_live(w) {  /* live tasks that it is to hear of: rest */
  rest = 0; j = 1;
  do
  :: j < TASKS -> rest = (LIVE(j) && task[j].parent == w -> rest | BIT(j) : rest); j++
  :: else -> break
  od;
  j = 0
}

inline finish_turn(w) {  /* agents/storage.py finish_turn and _go_on; broker/queue.py finish */
  verdict = DONE;
  if
  :: task[w].kind == AGENT && !task[w].cancel && task[w].notices > 0 -> verdict = ON
  :: task[w].kind == AGENT && !task[w].cancel && task[w].notices == 0 ->
     own_live(w);
     if
     :: rest > 0 -> k = rest; rest = 0; park(w, k, true); k = 0
     :: else
     fi
  :: else
  fi;
  if
  :: verdict == DONE || verdict == REFUSED ->  /* REFUSED: retried, and held after its attempts */
     verdict = DONE;
     if
     :: w == 0 && by_person -> answered++; begun = false
     :: w == 0 && !by_person -> begun = false
     :: else
     fi;
     end(w)
  :: else
  fi
}

inline ask_turn(t) {  /* broker/cancel.py ask_turn: its own worker ends it */
  task[t].cancel = true;
  if
  :: task[t].status == WAITING -> wake(t)
  :: else
  fi
}

/* --- the worker */

/* A run in a slot of broker/worker.py: from its claim until it has ended or is parked. */
inline run_task(i) {
  do
  :: atomic { i == 0 && !begun ->  /* agents/storage.py begin_turn */
       d_step {
         begun = true; task[0].notices = 0;
         if
         :: by_person -> waiting_inputs--
         :: else
         fi } }
  :: atomic { !FREE(i) && (i > 0 || begun) ->  /* a wait that was called, or goes on */
       d_step { wait_or_park(i); check() };
       if
       :: verdict == PARKED -> verdict = DONE;
#ifdef WAIT_HOLDS_SLOT
          task[i].status == QUEUED; task[i].status = RUNNING
#else
          break
#endif
       :: else -> verdict = DONE
       fi }
  :: atomic { FREE(i) && task[i].notices > 0 -> task[i].notices = 0 }  /* agents/arrivals.py take, at a boundary */
  :: atomic { FREE(i) && !task[i].cancel && MAY_FILE(i) ->  /* create_task */
       if
       :: task[filed].kind = AGENT
       :: task[filed].kind = FUNCTION
       fi;
       d_step { create_task(i); check() } }
  :: atomic { FREE(i) && !task[i].cancel && task[i].waits > 0 ->  /* wait_for_tasks, context.wait */
       task[i].waits--;
       if
       :: d_step { own_live(i); task[i].call = rest; rest = 0 };
          if
#ifndef CHAIN
          :: task[i].any = ((task[i].call & (task[i].call - 1)) != 0)  /* only of more than one */
#endif
          :: true
          fi
#ifndef CHAIN
       :: task[i].kind == FUNCTION && filed > 1 -> task[i].call = BIT(1)  /* a function may name any task */
       :: task[i].kind == FUNCTION && filed > 2 -> task[i].call = BIT(2)
       :: task[i].kind == FUNCTION && filed > 3 -> task[i].call = BIT(3)
#endif
       fi }
#ifdef STUCK
  :: atomic { FREE(i) && task[i].kind == FUNCTION && !stuck -> stuck = true };  /* its thread never returns */
end_blocked:
     atomic { task[i].cancel -> d_step { finish_turn(i); check() } };
     /* broker/supervision.py _enforce: after the grace period its claim ends, its slot stays taken */
end_stuck:
     false
#endif
  :: atomic { FREE(i) && MAY_ANSWER(i) ->  /* it answers, or returns, or is cancelled */
       d_step { finish_turn(i); check() };
       if
       :: verdict == ON -> verdict = DONE; task[i].notices = 0
       :: else -> verdict = DONE; break
       fi }
  od
}

#ifdef ONE_KIND_OF_SLOT
#define IN_TURN_SLOT(i) false
#else
#define IN_TURN_SLOT(i) (i == 0)
#endif

proctype TurnSlot() {
  byte me;
end_idle:
  do
  :: IN_TURN_SLOT(0) && task[0].status == QUEUED -> task[0].status = RUNNING; run_task(0)
  od
}

proctype TaskSlot() {
  byte me;
end_idle:
  do
  :: atomic {
       if
       :: !IN_TURN_SLOT(0) && task[0].status == QUEUED -> me = 0
       :: task[1].status == QUEUED -> me = 1
       :: task[2].status == QUEUED -> me = 2
#if TASKS > 3
       :: task[3].status == QUEUED -> me = 3
#endif
#if TASKS > 4
       :: task[4].status == QUEUED -> me = 4
       :: task[5].status == QUEUED -> me = 5
#endif
       fi;
       task[me].status = RUNNING
     };
     run_task(me);
     me = 0
  od
}

/* --- who asks */

proctype Person() {  /* broker/inbox.py accept_create */
  do
  :: accepted < INPUTS -> d_step { accepted++; waiting_inputs++; advance(); check() }
  :: else -> break
  od
}

#ifdef STUCK
proctype Sweep() {  /* broker/waits.py wake_due */
end_idle:
  do
  :: d_step { task[0].status == WAITING -> task[0].due = true; wake(0); check() }
  od
}
#endif

inline cancel_task(t) {  /* broker/cancel.py cancel_task, cancel_response; asked while every slot may be busy */
  family = BIT(t); c = t;
  do
  :: c < TASKS ->
     if
     :: c > t && t > 0 && c < filed && HAS(family, task[c].parent) -> family = family | BIT(c)
     :: else
     fi;
     if
     :: HAS(family, c) && LIVE(c) ->
        if
        :: task[c].kind == FUNCTION && task[c].status != RUNNING -> task[c].cancel = true; end(c)
        :: else -> ask_turn(c)
        fi
     :: else
     fi;
     c++
  :: else -> break
  od;
  family = 0; c = 0
}

proctype Control() {
  byte c;
  if
  :: d_step { LIVE(0) -> cancel_task(0); check() }
  :: d_step { LIVE(1) -> cancel_task(1); check() }
  :: d_step { LIVE(2) -> cancel_task(2); check() }
  :: true
  fi
}

/* What must be true when nothing can happen any more. */
proctype Quiet() {
  byte i;
  timeout ->
  d_step {
    assert(accepted == INPUTS && answered == INPUTS && task[0].status == ABSENT);
    i = 1;
    do
    :: i < filed ->
       assert(task[i].status == ENDED || (stuck && !(task[i].cancel && task[i].kind == FUNCTION))); i++
    :: else -> break
    od
  }
}

init {
  atomic {
    task[0].kind = TURN;
    verdict = DONE;
    do
    :: d_step { j < TASKS -> task[j].status = ABSENT; j++ }
    :: else -> break
    od;
    j = 0;
    run TurnSlot(); run TaskSlot(); run Person(); run Quiet();
#if !defined(CHAIN) && !defined(NOBODY_CANCELS)
    run Control();
#endif
#ifdef STUCK
    run Sweep()
#endif
  }
}

/* Every accepted input is answered; with -DSTUCK, though the only task slot is never free again (rule 7). */
ltl answered { [] (accepted > answered -> <> (accepted == answered)) }
/* Rule 5: whoever waits is woken: a parent whose children are done is never left asleep. */
ltl woken { [] ((task[0].status == WAITING -> <> (task[0].status != WAITING)) &&
                (task[1].status == WAITING -> <> (task[1].status != WAITING)) &&
                (task[2].status == WAITING -> <> (task[2].status != WAITING))) }
/* Rule 5: however deep the chain is, one slot brings it to its end. */
ltl all_end { [] (filed == TASKS -> <> (task[1].status == ENDED && task[2].status == ENDED &&
                                        task[TASKS - 1].status == ENDED)) }
/* Rule 8: who is asked to end ends. */
ltl cancel_goes_through { [] ((task[1].cancel -> <> (task[1].status == ENDED)) &&
                              (task[2].cancel -> <> (task[2].status == ENDED))) }
