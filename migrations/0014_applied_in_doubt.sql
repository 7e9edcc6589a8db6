-- A webhook may put an operation in doubt: it tells that what was held is let go, after a part of it was captured that nobody here
-- asked for.
alter table webhook_event
    drop constraint webhook_event_applied_as_known,
    add constraint webhook_event_applied_as_known check (applied_as in ('succeeded', 'declined', 'expired', 'reversed',
        'arrived', 'late_success', 'twice', 'unknown', 'needs_review'));
