-- feature: item_audience
-- entity: item
-- class: static
-- window: 30d
-- description: Who looks at an item, and how often the same people do. Views and stronger signs only.
-- column item_users_7d: Different users in the last 7 days.
-- column item_users_30d: Different users in the last 30 days.
-- column item_sessions_30d: Different visits in the last 30 days.
-- column item_events_per_user: Events for each of its users.
SELECT item_id, as_of,
       count(DISTINCT user_id) FILTER (WHERE age_days < 7) AS item_users_7d,
       count(DISTINCT user_id) AS item_users_30d,
       count(DISTINCT session) AS item_sessions_30d,
       CAST(count(*) AS DOUBLE) / count(DISTINCT user_id) AS item_events_per_user
FROM history
WHERE kind <> 'impression'
GROUP BY item_id, as_of
