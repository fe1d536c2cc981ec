-- feature: item_activity
-- entity: item
-- class: dynamic
-- window: 30d
-- description: How much has happened to an item lately, by kind of event. Days are UTC; the last day is today so far.
-- column item_impressions_1d: Times shown today.
-- column item_impressions_7d: Times shown in the last 7 days.
-- column item_impressions_30d: Times shown in the last 30 days.
-- column item_views_1d: Views today.
-- column item_views_7d: Views in the last 7 days.
-- column item_views_30d: Views in the last 30 days.
-- column item_clicks_1d: Clicks today.
-- column item_clicks_7d: Clicks in the last 7 days.
-- column item_clicks_30d: Clicks in the last 30 days.
-- column item_favourites_7d: Favourites in the last 7 days.
-- column item_favourites_30d: Favourites in the last 30 days.
-- column item_orders_7d: Orders in the last 7 days.
-- column item_orders_30d: Orders in the last 30 days.
-- column item_order_value_30d: Sum of the values of these orders.
-- column item_active_days_30d: Days with any event among the last 30.
SELECT item_id, as_of,
       count(*) FILTER (WHERE kind = 'impression' AND age_days < 1) AS item_impressions_1d,
       count(*) FILTER (WHERE kind = 'impression' AND age_days < 7) AS item_impressions_7d,
       count(*) FILTER (WHERE kind = 'impression') AS item_impressions_30d,
       count(*) FILTER (WHERE kind = 'view' AND age_days < 1) AS item_views_1d,
       count(*) FILTER (WHERE kind = 'view' AND age_days < 7) AS item_views_7d,
       count(*) FILTER (WHERE kind = 'view') AS item_views_30d,
       count(*) FILTER (WHERE kind = 'click' AND age_days < 1) AS item_clicks_1d,
       count(*) FILTER (WHERE kind = 'click' AND age_days < 7) AS item_clicks_7d,
       count(*) FILTER (WHERE kind = 'click') AS item_clicks_30d,
       count(*) FILTER (WHERE kind = 'favourite' AND age_days < 7) AS item_favourites_7d,
       count(*) FILTER (WHERE kind = 'favourite') AS item_favourites_30d,
       count(*) FILTER (WHERE kind = 'order' AND age_days < 7) AS item_orders_7d,
       count(*) FILTER (WHERE kind = 'order') AS item_orders_30d,
       sum(CASE WHEN kind = 'order' THEN value ELSE 0.0 END) AS item_order_value_30d,
       count(DISTINCT age_days) AS item_active_days_30d
FROM history
GROUP BY item_id, as_of
