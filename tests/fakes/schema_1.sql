-- Schema 1, as Frontdesk first wrote it, in the words of both engines. Never change it: it stands for the
-- databases that exist.

CREATE TABLE frontdesk_conversation (
    id VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    meta VARCHAR NOT NULL,
    parent_task VARCHAR,
    desk VARCHAR NOT NULL,
    unattended_limit INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    last_cursor INTEGER NOT NULL,
    last_input INTEGER NOT NULL,
    last_item INTEGER NOT NULL,
    last_label INTEGER NOT NULL,
    waiting_inputs INTEGER NOT NULL,
    unattended INTEGER NOT NULL,
    head VARCHAR,
    PRIMARY KEY (id)
);

CREATE TABLE frontdesk_durable_call (
    task_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    done INTEGER NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY (task_id, position)
);

CREATE TABLE frontdesk_event (
    conversation_id VARCHAR NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    response_id VARCHAR NOT NULL,
    deltas_of VARCHAR,
    body VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (conversation_id, first)
);

CREATE INDEX frontdesk_event_deltas ON frontdesk_event (conversation_id, deltas_of) WHERE deltas_of IS NOT NULL;

CREATE TABLE frontdesk_inbox (
    conversation_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    response_id VARCHAR,
    target_id VARCHAR,
    payload VARCHAR NOT NULL,
    taken_by VARCHAR,
    tenant VARCHAR NOT NULL,
    input_id VARCHAR,
    input_digest VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (conversation_id, number)
);

CREATE UNIQUE INDEX frontdesk_inbox_input ON frontdesk_inbox (tenant, input_id) WHERE input_id IS NOT NULL;

CREATE INDEX frontdesk_inbox_waiting ON frontdesk_inbox (conversation_id, kind, number) WHERE taken_by IS NULL;

CREATE TABLE frontdesk_item (
    conversation_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    id VARCHAR NOT NULL,
    response_id VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    PRIMARY KEY (conversation_id, position)
);

CREATE UNIQUE INDEX frontdesk_item_id ON frontdesk_item (id, conversation_id);

CREATE INDEX frontdesk_item_response ON frontdesk_item (response_id);

CREATE TABLE frontdesk_meta (
    "key" VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY ("key")
);

CREATE TABLE frontdesk_task (
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    slot VARCHAR NOT NULL,
    queue VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    conversation_id VARCHAR,
    label VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    parent_id VARCHAR,
    depth INTEGER NOT NULL,
    created_by VARCHAR,
    fingerprint VARCHAR NOT NULL,
    retry_of VARCHAR,
    announce VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    priority INTEGER NOT NULL,
    ready FLOAT NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    on_crash VARCHAR NOT NULL,
    timeout FLOAT,
    epoch INTEGER NOT NULL,
    owner VARCHAR NOT NULL,
    lease_until FLOAT,
    cancel_requested INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    waiting_for VARCHAR NOT NULL,
    waits_left INTEGER NOT NULL,
    wake FLOAT,
    question VARCHAR,
    arguments VARCHAR NOT NULL,
    result VARCHAR,
    error VARCHAR,
    error_kind VARCHAR NOT NULL,
    progress FLOAT,
    message VARCHAR NOT NULL,
    log_tail VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    started_at FLOAT,
    finished_at FLOAT,
    PRIMARY KEY (id)
);

CREATE INDEX frontdesk_task_claim ON frontdesk_task (slot, priority DESC, ready, id) WHERE status = 'queued';

CREATE UNIQUE INDEX frontdesk_task_created_by ON frontdesk_task (created_by) WHERE created_by IS NOT NULL;

CREATE UNIQUE INDEX frontdesk_task_label ON frontdesk_task (conversation_id, label) WHERE label <> '';

CREATE INDEX frontdesk_task_lease ON frontdesk_task (lease_until) WHERE status = 'running';

CREATE INDEX frontdesk_task_listing ON frontdesk_task (tenant, created_at, id) WHERE kind <> 'turn';

CREATE UNIQUE INDEX frontdesk_task_live_turn ON frontdesk_task (conversation_id) WHERE kind = 'turn' AND finished_at IS NULL;

CREATE INDEX frontdesk_task_parent ON frontdesk_task (parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX frontdesk_task_twin ON frontdesk_task (conversation_id, fingerprint) WHERE finished_at IS NULL;

CREATE INDEX frontdesk_task_wake ON frontdesk_task (wake) WHERE status = 'waiting' AND wake IS NOT NULL;

CREATE TABLE frontdesk_turn (
    id VARCHAR NOT NULL,
    conversation_id VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    task_id VARCHAR,
    status VARCHAR NOT NULL,
    started_by VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    input_id VARCHAR,
    input_digest VARCHAR NOT NULL,
    previous_id VARCHAR,
    cancel_requested INTEGER NOT NULL,
    request VARCHAR NOT NULL,
    triggers VARCHAR NOT NULL,
    first_cursor INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    ended VARCHAR NOT NULL,
    error VARCHAR,
    usage VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    started_at FLOAT,
    finished_at FLOAT,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX frontdesk_turn_input ON frontdesk_turn (tenant, input_id);

CREATE INDEX frontdesk_turn_previous ON frontdesk_turn (previous_id);

CREATE INDEX ix_frontdesk_turn_conversation_id ON frontdesk_turn (conversation_id);

CREATE INDEX ix_frontdesk_turn_task_id ON frontdesk_turn (task_id);

CREATE TABLE frontdesk_wait (
    waiter_id VARCHAR NOT NULL,
    awaited_id VARCHAR NOT NULL,
    PRIMARY KEY (waiter_id, awaited_id)
);

CREATE INDEX ix_frontdesk_wait_awaited_id ON frontdesk_wait (awaited_id);
