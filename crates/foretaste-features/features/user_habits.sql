-- feature: user_habits
-- entity: user
-- class: static
-- window: 90d
-- description: How a user goes about things: what becomes of what is shown, when, and where.
-- column user_view_rate: Views for each item shown; null where nothing was shown.
-- column user_click_rate: Clicks for each view; null without a view.
-- column user_favourite_rate: Favourites for each click; null without a click.
-- column user_order_rate: Orders for each click; null without a click.
-- column user_weekend_share: Share of events on Saturday and Sunday (UTC).
-- column user_night_share: Share of events between 22:00 and 06:00 (UTC).
-- column user_search_share: Share of events that began in a search.
-- column user_category_page_share: Share of events on category pages.
-- column user_mean_click_position: Mean position of the items that were clicked in a list.
-- column user_events_per_day: Events for each day with any.
SELECT user_id, as_of,
       CAST(count(*) FILTER (WHERE kind = 'view') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'impression'), 0) AS user_view_rate,
       CAST(count(*) FILTER (WHERE kind = 'click') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'view'), 0) AS user_click_rate,
       CAST(count(*) FILTER (WHERE kind = 'favourite') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'click'), 0) AS user_favourite_rate,
       CAST(count(*) FILTER (WHERE kind = 'order') AS DOUBLE)
           / nullif(count(*) FILTER (WHERE kind = 'click'), 0) AS user_order_rate,
       -- 1970 began on a Thursday: day 2 was a Saturday.
       CAST(count(*) FILTER (WHERE (time_ms / 86400000 + 5) % 7 < 2) AS DOUBLE)
           / count(*) AS user_weekend_share,
       CAST(count(*) FILTER (WHERE (time_ms / 3600000 + 2) % 24 < 8) AS DOUBLE)
           / count(*) AS user_night_share,
       CAST(count(*) FILTER (WHERE scene = 'search') AS DOUBLE) / count(*) AS user_search_share,
       CAST(count(*) FILTER (WHERE scene = 'category') AS DOUBLE)
           / count(*) AS user_category_page_share,
       avg(position) FILTER (WHERE kind = 'click') AS user_mean_click_position,
       CAST(count(*) AS DOUBLE) / count(DISTINCT age_days) AS user_events_per_day
FROM history
GROUP BY user_id, as_of
