-- feature: item_audience
-- entity: item
-- class: static
-- window: 30d
-- description: Who looks at an item, and how often the same people do. Views and stronger signs only.
-- column item_users_7d: Different users in the last 7 days.
-- column item_users_30d: Different users in the last 30 days.
-- column item_sessions_30d: Different visits in the last 30 days.
-- column item_events_per_user: Events for each of its users.
SELECT u.item_id, u.as_of,
       -- Distinct ones are counted by grouping twice: a set for each item would not spill.
       u.users_7d AS item_users_7d,
       u.users_30d AS item_users_30d,
       coalesce(s.sessions, 0) AS item_sessions_30d,
       CAST(u.events AS DOUBLE) / u.users_30d AS item_events_per_user
FROM (
    SELECT item_id, as_of, count(*) AS users_30d, sum(events) AS events,
           sum(CASE WHEN nearest < 7 THEN 1 ELSE 0 END) AS users_7d
    FROM (
        SELECT item_id, as_of, user_id, min(age_days) AS nearest, count(*) AS events
        FROM history
        WHERE kind <> 'impression'
        GROUP BY item_id, as_of, user_id
    )
    GROUP BY item_id, as_of
) u LEFT JOIN (
    SELECT item_id, as_of, count(*) AS sessions
    FROM (
        SELECT item_id, as_of, session
        FROM history
        WHERE kind <> 'impression' AND session IS NOT NULL
        GROUP BY item_id, as_of, session
    )
    GROUP BY item_id, as_of
) s ON s.item_id = u.item_id AND s.as_of = u.as_of
