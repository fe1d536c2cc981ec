-- feature: item_trend
-- entity: item
-- class: dynamic
-- description: Whether an item is rising or fading. Views and stronger signs only.
-- column item_days_since_first: Days since somebody first looked at it.
-- column item_days_since_event: Days since somebody last looked at it.
-- column item_days_since_order: Days since the last order; null without one.
-- column item_views_decayed_1d: Views, each counting half after a day.
-- column item_views_decayed_7d: Views, each counting half after 7 days.
-- column item_views_decayed_30d: Views, each counting half after 30 days.
-- column item_orders_decayed_30d: Orders, each counting half after 30 days.
-- column item_view_momentum: Views of the last 3 full days for each view of the 3 days before; null without those.
SELECT item_id, as_of,
       max(age_days) AS item_days_since_first,
       min(age_days) AS item_days_since_event,
       min(age_days) FILTER (WHERE kind = 'order') AS item_days_since_order,
       sum(CASE WHEN kind = 'view' THEN power(0.5, age_days) ELSE 0.0 END)
           AS item_views_decayed_1d,
       sum(CASE WHEN kind = 'view' THEN power(0.5, age_days / 7.0) ELSE 0.0 END)
           AS item_views_decayed_7d,
       sum(CASE WHEN kind = 'view' THEN power(0.5, age_days / 30.0) ELSE 0.0 END)
           AS item_views_decayed_30d,
       sum(CASE WHEN kind = 'order' THEN power(0.5, age_days / 30.0) ELSE 0.0 END)
           AS item_orders_decayed_30d,
       CAST(count(*) FILTER (WHERE kind = 'view' AND age_days BETWEEN 1 AND 3) AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'view' AND age_days BETWEEN 4 AND 6), 0)
           AS item_view_momentum
FROM history
WHERE kind <> 'impression'
GROUP BY item_id, as_of
