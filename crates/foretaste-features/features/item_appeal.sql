-- feature: item_appeal
-- entity: item
-- class: dynamic
-- window: 30d
-- description: What becomes of an item when it is shown, and where that happens.
-- column item_view_rate_7d: Views for each time shown in the last 7 days; null where it was not shown.
-- column item_view_rate_30d: The same in the last 30 days.
-- column item_click_rate_30d: Clicks for each view; null without a view.
-- column item_favourite_rate_30d: Favourites for each click; null without a click.
-- column item_order_rate_30d: Orders for each click; null without a click.
-- column item_mean_position: Mean position at which it was shown in lists; null where it was in none.
-- column item_best_position: Best position at which it was shown.
-- column item_search_share: Share of events that began in a search.
-- column item_homepage_share: Share of events on the homepage.
SELECT item_id, as_of,
       CAST(count(*) FILTER (WHERE kind = 'view' AND age_days < 7) AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'impression' AND age_days < 7), 0)
           AS item_view_rate_7d,
       CAST(count(*) FILTER (WHERE kind = 'view') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'impression'), 0) AS item_view_rate_30d,
       CAST(count(*) FILTER (WHERE kind = 'click') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'view'), 0) AS item_click_rate_30d,
       CAST(count(*) FILTER (WHERE kind = 'favourite') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'click'), 0) AS item_favourite_rate_30d,
       CAST(count(*) FILTER (WHERE kind = 'order') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'click'), 0) AS item_order_rate_30d,
       avg(position) FILTER (WHERE kind = 'impression') AS item_mean_position,
       min(position) FILTER (WHERE kind = 'impression') AS item_best_position,
       CAST(count(*) FILTER (WHERE scene = 'search') AS DOUBLE) / count(*) AS item_search_share,
       CAST(count(*) FILTER (WHERE scene = 'homepage') AS DOUBLE)
           / count(*) AS item_homepage_share
FROM history
GROUP BY item_id, as_of
