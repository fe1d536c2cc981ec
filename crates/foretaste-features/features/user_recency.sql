-- feature: user_recency
-- entity: user
-- class: dynamic
-- description: How long ago a user did things, and sums in which an event counts half after some days.
-- column user_days_known: Days since the first event.
-- column user_days_since_event: Days since the last event of any kind.
-- column user_days_since_click: Days since the last click; null without one.
-- column user_days_since_order: Days since the last order; null without one.
-- column user_views_decayed_3d: Views, each counting half after 3 days.
-- column user_views_decayed_14d: Views, each counting half after 14 days.
-- column user_orders_decayed_30d: Orders, each counting half after 30 days.
SELECT user_id, as_of,
       max(age_days) AS user_days_known,
       min(age_days) AS user_days_since_event,
       min(age_days) FILTER (WHERE kind = 'click') AS user_days_since_click,
       min(age_days) FILTER (WHERE kind = 'order') AS user_days_since_order,
       sum(CASE WHEN kind = 'view' THEN power(0.5, age_days / 3.0) ELSE 0.0 END)
           AS user_views_decayed_3d,
       sum(CASE WHEN kind = 'view' THEN power(0.5, age_days / 14.0) ELSE 0.0 END)
           AS user_views_decayed_14d,
       sum(CASE WHEN kind = 'order' THEN power(0.5, age_days / 30.0) ELSE 0.0 END)
           AS user_orders_decayed_30d
FROM history
GROUP BY user_id, as_of
