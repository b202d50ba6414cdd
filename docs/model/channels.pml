/* The channels between two clients and the agents: reader, inbox, turn, event log, connection writer; rules 1 to 4 and 8.
 *
 * Each transaction of the code is one d_step: the writer of broker/writer.py runs one function of a connection after the
 * other, and none of them awaits anything. Everything between two transactions may be interleaved with everything else.
 *
 * Client 0 reads what it is sent. Client 1 may stop reading at any moment, for ever. It says more than its inbox holds,
 * its first response may call a tool that blocks until it is cancelled, and it cancels it only after everything else
 * that it says. There is ONE turn slot, so that tool keeps client 0 waiting as well.
 */
#define CLIENTS 2
#define SAYS(c) (c == 0 -> 1 : 3)  /* creates that a client sends */
#define LIMIT 1                    /* limits.inbox */
#define OUTBOX 1                   /* limits.outbox */
#define UNATTENDED 1               /* max_unattended_turns */

mtype = { NOTHING, QUEUED, RUNNING, ENDED };  /* a live turn, a task */
mtype = { CREATE, CANCEL, NOTICE };

typedef Conversation {  /* its row, its inbox, its live turn, its log */
  byte waiting_inputs;  /* creates that no turn has taken */
  byte notices;         /* that no turn has taken */
  byte accepted;        /* responses to creates: number 0, 1, … */
  byte answered;        /* how many of them have ended; they end in their order, so this is the next one's number */
  byte refused;
  byte unattended;
  mtype live;           /* the live turn */
  mtype started_by;
  mtype task;           /* one background task that a turn may file */
  bool cancel_asked;    /* for response 0 */
  byte last_cursor;     /* of the event log */
}
Conversation conv[CLIENTS];

typedef Link {          /* one client's connection */
  byte control;         /* messages that wait in Writer._control */
  bool cut;             /* cut off; the client comes back with its cursor */
  byte seen;            /* the last cursor that the client has received */
  bool reads;           /* its socket takes what is sent: websocket.py Transport.is_free */
  bool handling;        /* the reader is not at its receive */
  byte held;            /* events in the writer's memory, read from the log ahead of the client */
}
Link link[CLIENTS];

chan from_client[CLIENTS] = [0] of { mtype };

#define IS_ASKED(c) (conv[c].cancel_asked && conv[c].started_by == CREATE && conv[c].answered == 0)
#define PERSON_WAITS ((conv[0].live == QUEUED && conv[0].started_by == CREATE) || \
                      (conv[1].live == QUEUED && conv[1].started_by == CREATE))
/* broker/queue.py claim, by priority: turns of people before turns of notices */
#define CLAIMABLE(c) (conv[c].live == QUEUED && (conv[c].started_by == CREATE || !PERSON_WAITS))

/* --- the database: each inline is used inside a d_step */

inline append(c) { conv[c].last_cursor++ }  /* broker/events.py append; in the commit of what it tells of */

inline advance(c) {  /* broker/turns.py advance: an idle conversation's next input gets its turn, creates before notices */
  if
  :: conv[c].live != NOTHING
  :: conv[c].live == NOTHING && conv[c].waiting_inputs > 0 ->
     conv[c].live = QUEUED; conv[c].started_by = CREATE; conv[c].unattended = 0
  :: conv[c].live == NOTHING && conv[c].waiting_inputs == 0 && conv[c].notices > 0 &&
     conv[c].unattended < UNATTENDED ->
     conv[c].live = QUEUED; conv[c].started_by = NOTICE; conv[c].unattended++
  :: else
  fi
}

inline accept_create(c) {  /* broker/inbox.py accept_create */
  d_step {
    if
    :: conv[c].waiting_inputs >= LIMIT -> conv[c].refused++  /* InboxFull: rolled back, told to the sender */
    :: else -> conv[c].waiting_inputs++; conv[c].accepted++; advance(c)
    fi;
    assert(conv[c].waiting_inputs <= LIMIT)
  }
}

inline cancel_response(c) {  /* broker/cancel.py cancel_response; write_first: before everything that waits */
  d_step { conv[c].cancel_asked = true; link[c].handling = false }
}

inline begin_turn(c) {  /* agents/storage.py begin_turn: the input enters the conversation */
  d_step {
    assert(conv[c].live == RUNNING);
    if
    :: conv[c].started_by == CREATE -> conv[c].waiting_inputs--
    :: else
    fi;
    conv[c].notices = 0
  }
}

inline create_task(c) {  /* agents/task_storage.py create_task */
  d_step { conv[c].task = QUEUED }
}

inline finish_turn(c) {  /* agents/storage.py finish_turn, broker/endings.py end */
  d_step {
    append(c);
    if
    :: conv[c].started_by == CREATE -> conv[c].answered++
    :: else
    fi;
    conv[c].live = NOTHING;
    advance(c)
  }
}

inline finish_task(c) {  /* broker/queue.py finish, broker/notices.py finished: the notice is not asked whether it fits */
  d_step { conv[c].task = ENDED; append(c); conv[c].notices++; advance(c) }
}

/* --- the server */

inline say(c) {  /* server/writer.py say: it never waits */
#ifdef READER_WAITS_FOR_WRITER
  atomic { link[c].control < OUTBOX -> link[c].control++; link[c].handling = false }
#else
  d_step {
    if
    :: link[c].cut
    :: !link[c].cut && link[c].control >= OUTBOX -> link[c].cut = true
    :: else -> link[c].control++
    fi;
    link[c].handling = false;
    assert(link[c].control <= OUTBOX)
  }
#endif
}

#ifdef CONTROL_QUEUES_BEHIND_WORK
bool cancel_waits;
#endif

/* server/connection.py Connection._read. A client that is cut off connects again and says again what it was not told the
 * fate of (input ids make that harmless), so its reader is one process here. */
proctype Reader(byte c) {
end_receive:
  do
  :: atomic { from_client[c]?CREATE -> link[c].handling = true };
#ifdef INBOX_BLOCKS
     conv[c].waiting_inputs < LIMIT;
#endif
     accept_create(c);
     say(c)
  :: atomic { from_client[c]?CANCEL -> link[c].handling = true };
#ifdef CONTROL_QUEUES_BEHIND_WORK
     d_step { cancel_waits = true; link[c].handling = false }
#else
     cancel_response(c)
#endif
  od
}

#ifdef ONE_WRITER_FOR_ALL
bool sending;
#define MAY_SEND !sending
#else
#define MAY_SEND true
#endif

/* server/writer.py Writer.run: control messages first, then the log from the cursor on. Nothing here cuts a client off
 * because time has passed (stall_seconds, lag_events): the rules hold without it. */
proctype Writer(byte c) {
end_idle_or_blocked:
  do
  :: link[c].cut -> d_step { link[c].cut = false; link[c].control = 0; link[c].held = 0 }
     /* transport.cut_off: what waited is dropped; the client comes back and resumes from its cursor */
  :: atomic { MAY_SEND && link[c].reads && !link[c].cut && link[c].control > 0 -> link[c].control-- }  /* _send_control */
  :: atomic { MAY_SEND && link[c].reads && !link[c].cut && link[c].control == 0 &&
       link[c].seen < conv[c].last_cursor ->
       link[c].seen++;  /* _send_events */
       link[c].held = (link[c].held > 0 -> link[c].held - 1 : 0) }
#ifdef ONE_WRITER_FOR_ALL
  :: atomic { !sending && link[c].seen < conv[c].last_cursor -> sending = true };
     atomic { link[c].reads -> sending = false }  /* the others wait until this client reads */
#endif
#ifdef WRITER_HOLDS_A_QUEUE
  :: atomic { !link[c].cut && link[c].seen + link[c].held < conv[c].last_cursor -> link[c].held++ };
     assert(link[c].held <= 1)
#endif
  od
}

/* --- the worker */

inline append_waits(c) {
#ifdef RUN_WAITS_FOR_CLIENT
  link[c].seen == conv[c].last_cursor  /* what was said must have been received before more is said */
#else
  skip
#endif
}

/* agents/turn_runs.py and agents/loop.py in a turn slot of broker/worker.py */
proctype TurnSlot() {
  byte c;
end_idle:
  do
#ifdef CONTROL_QUEUES_BEHIND_WORK
  :: atomic { cancel_waits -> cancel_waits = false; conv[1].cancel_asked = true }
#endif
  :: atomic {
       if
       :: CLAIMABLE(0) -> c = 0
       :: CLAIMABLE(1) -> c = 1
       fi;
       conv[c].live = RUNNING
     };
     begin_turn(c);
     if
     :: c == 1 && conv[c].started_by == CREATE && conv[c].answered == 0 ->
        IS_ASKED(c)  /* a tool without a timeout blocks its thread; broker/runs.py ask leaves the thread behind */
     :: c == 1 && conv[c].task == NOTHING -> create_task(c)
     :: true         /* the model answers at once */
     fi;
     append_waits(c);
     finish_turn(c);
     c = 0
  od
}

proctype TaskSlot() {  /* broker/functions.py in a task slot */
end_idle:
  do
  :: atomic { conv[1].task == QUEUED -> conv[1].task = RUNNING };
     finish_task(1)
  od
}

/* --- the clients */

proctype Says(byte c) {
  byte said;
  do
  :: said < SAYS(c) -> from_client[c]!CREATE; said++
  :: else -> break
  od;
  if
  :: c == 1 -> from_client[c]!CANCEL
  :: else
  fi
}

proctype StopsReading() { link[1].reads = false }  /* at any moment, or so late that it read everything */

/* What must be true when nothing can happen any more. */
proctype Quiet() {
  timeout ->
  assert(conv[0].accepted + conv[0].refused == SAYS(0) && conv[1].accepted + conv[1].refused == SAYS(1));
  assert(conv[0].accepted == conv[0].answered && conv[1].accepted == conv[1].answered);
  assert(link[0].seen == conv[0].last_cursor)
}

init {
  atomic {
    conv[0].live = NOTHING; conv[0].task = NOTHING; conv[0].started_by = NOTHING;
    conv[1].live = NOTHING; conv[1].task = NOTHING; conv[1].started_by = NOTHING;
    link[0].reads = true; link[1].reads = true;
    run Reader(0); run Reader(1); run Writer(0); run Writer(1); run TurnSlot(); run TaskSlot();
    run StopsReading(); run Says(0); run Says(1); run Quiet()
  }
}

/* Rules 1 and 3: whatever runs, blocks or does not read, a reader goes back to reading. */
ltl reader_returns { [] ((link[0].handling -> <> !link[0].handling) && (link[1].handling -> <> !link[1].handling)) }
/* Rules 2 and 4: what is committed reaches the client that reads, though the other one never does. */
ltl reader_hears { [] (link[0].seen < conv[0].last_cursor -> <> (link[0].seen == conv[0].last_cursor)) }
/* Every accepted input is answered. */
ltl answered { [] ((conv[0].accepted > conv[0].answered -> <> (conv[0].accepted == conv[0].answered)) &&
                   (conv[1].accepted > conv[1].answered -> <> (conv[1].accepted == conv[1].answered))) }
/* Rule 8: a cancel goes through while the only slot is busy. */
ltl cancel_goes_through { [] (conv[1].cancel_asked -> <> (conv[1].answered >= 1)) }
