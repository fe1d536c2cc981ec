-- feature: user_item
-- entity: user_item
-- class: dynamic
-- window: 30d
-- description: What a user has done with an item lately.
-- column pair_impressions_30d: Times the item was shown to the user.
-- column pair_views_30d: Views.
-- column pair_clicks_30d: Clicks.
-- column pair_favourites_30d: Favourites.
-- column pair_orders_30d: Orders.
-- column pair_days_since_event: Days since the last event of any kind.
-- column pair_days_since_first: Days since the first event in the window.
-- column pair_unanswered: Times shown on days on which the user did nothing with it.
SELECT user_id, item_id, as_of,
       sum(impressions) AS pair_impressions_30d,
       sum(views) AS pair_views_30d,
       sum(clicks) AS pair_clicks_30d,
       sum(favourites) AS pair_favourites_30d,
       sum(orders) AS pair_orders_30d,
       min(age_days) AS pair_days_since_event,
       max(age_days) AS pair_days_since_first,
       sum(CASE WHEN events = impressions THEN impressions ELSE 0 END) AS pair_unanswered
FROM (
    SELECT user_id, item_id, as_of, age_days, count(*) AS events,
           count(*) FILTER (WHERE kind = 'impression') AS impressions,
           count(*) FILTER (WHERE kind = 'view') AS views,
           count(*) FILTER (WHERE kind = 'click') AS clicks,
           count(*) FILTER (WHERE kind = 'favourite') AS favourites,
           count(*) FILTER (WHERE kind = 'order') AS orders
    FROM history
    GROUP BY user_id, item_id, as_of, age_days
)
GROUP BY user_id, item_id, as_of
