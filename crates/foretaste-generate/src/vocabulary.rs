//! The words of the marketplace: two levels of categories with their keywords, and what titles,
//! descriptions and attributes are made of, in English and Chinese.

/// One second-level category.
#[derive(Clone, Copy, Debug)]
pub struct Shelf {
    /// First-level category.
    pub top: &'static str,
    /// Second-level category.
    pub name: &'static str,
    /// Second-level category in Chinese.
    pub chinese: &'static str,
    /// Words that belong to it, six of them.
    pub keywords: [&'static str; 6],
}

/// All second-level categories, in the order of the table.
pub fn shelves() -> Vec<Shelf> {
    SHELVES
        .lines()
        .map(|line| shelf(line).expect("the table below has four cells a line"))
        .collect()
}

fn shelf(line: &'static str) -> Option<Shelf> {
    let mut cells = line.split('|');
    let (top, name, chinese) = (cells.next()?, cells.next()?, cells.next()?);
    let mut words = cells.next()?.split(' ');
    let keywords = [(); 6].map(|()| words.next().unwrap_or(name));
    Some(Shelf { top, name, chinese, keywords })
}

/// Where data is about, English and Chinese.
pub const REGIONS: [(&str, &str); 16] = [
    ("Germany", "德国"),
    ("China", "中国"),
    ("United States", "美国"),
    ("Japan", "日本"),
    ("Brazil", "巴西"),
    ("India", "印度"),
    ("France", "法国"),
    ("United Kingdom", "英国"),
    ("Europe", "欧洲"),
    ("Southeast Asia", "东南亚"),
    ("Africa", "非洲"),
    ("the Middle East", "中东"),
    ("Latin America", "拉丁美洲"),
    ("Canada", "加拿大"),
    ("Australia", "澳大利亚"),
    ("the world", "全球"),
];

/// How a topic looks at its subject, English and Chinese.
pub const ANGLES: [(&str, &str); 16] = [
    ("Real-time", "实时"),
    ("Historical", "历史"),
    ("Hourly", "每小时"),
    ("Daily", "每日"),
    ("Labelled", "标注"),
    ("Anonymised", "匿名"),
    ("High-resolution", "高分辨率"),
    ("Survey-based", "调查"),
    ("Crowdsourced", "众包"),
    ("Regional", "区域"),
    ("Enterprise", "企业"),
    ("Open", "开放"),
    ("Curated", "精选"),
    ("Synthetic", "合成"),
    ("Benchmark", "基准"),
    ("Aggregated", "汇总"),
];

/// Countries of users: code, offset from UTC in hours, share in percent.
pub const COUNTRIES: [(&str, i8, u8); 12] = [
    ("CN", 8, 22),
    ("US", -6, 20),
    ("DE", 1, 12),
    ("IN", 5, 10),
    ("GB", 0, 8),
    ("JP", 9, 7),
    ("FR", 1, 6),
    ("BR", -3, 5),
    ("KR", 9, 4),
    ("CA", -5, 3),
    ("AU", 10, 2),
    ("NG", 1, 1),
];

/// Plans of users: name, share in percent, readiness to pay.
pub const PLANS: [(&str, u8, f32); 4] =
    [("free", 60, 0.3), ("starter", 22, 0.8), ("team", 13, 1.2), ("enterprise", 5, 1.8)];

/// File formats of datasets.
pub const FORMATS: [&str; 6] = ["csv", "parquet", "json", "api", "geotiff", "images"];

/// Licences of datasets.
pub const LICENCES: [&str; 4] = ["CC-BY-4.0", "CC0-1.0", "commercial", "research-only"];

/// How often datasets are updated, English and Chinese.
pub const CADENCES: [(&str, &str); 5] = [
    ("every minute", "每分钟"),
    ("hourly", "每小时"),
    ("daily", "每天"),
    ("monthly", "每月"),
    ("once a year", "每年"),
];

/// What datasets are used for, English and Chinese.
pub const USES: [(&str, &str); 8] = [
    ("training forecasting models", "训练预测模型"),
    ("market research", "市场研究"),
    ("risk analysis", "风险分析"),
    ("academic studies", "学术研究"),
    ("site selection", "选址分析"),
    ("fine-tuning language models", "大模型微调"),
    ("dashboards and reporting", "报表与看板"),
    ("planning and logistics", "规划与物流"),
];

const SHELVES: &str = "\
Finance|Equities|股票|tick quotes dividends order-book earnings short-interest
Finance|Crypto|加密货币|blockchain tokens wallets exchanges gas-fees stablecoins
Finance|Credit|信贷|loans defaults mortgages ratings scoring bankruptcies
Finance|Macro|宏观经济|inflation gdp employment interest-rates trade-balance housing
Finance|Payments|支付|card-spend merchants fraud remittances wallets chargebacks
Finance|Insurance|保险|claims actuarial premiums catastrophe underwriting telematics
Geospatial|Satellite|卫星影像|imagery landsat radar multispectral vegetation-index nightlights
Geospatial|Maps|地图|roads buildings addresses boundaries elevation land-use
Geospatial|Mobility|出行|footfall trajectories commuting dwell-time visits origin-destination
Geospatial|Maritime|航运|vessel-positions ports containers tankers draught bunkers
Geospatial|Aviation|航空|flights delays airports fares aircraft-positions schedules
Geospatial|Property|房地产|listings rents transactions parcels permits valuations
Climate|Weather|天气|temperature rainfall wind forecasts stations radar
Climate|Air Quality|空气质量|pm25 ozone nitrogen sensors emissions pollen
Climate|Oceans|海洋|sea-surface salinity waves tides currents plankton
Climate|Energy|能源|load solar wind-power prices smart-meters outages
Climate|Agriculture|农业|crop-yield soil-moisture irrigation livestock harvest pests
Climate|Hazards|灾害|earthquakes floods wildfires landslides hurricanes drought
Health|Genomics|基因组|variants rna-seq single-cell sequencing phenotypes pathways
Health|Imaging|医学影像|x-ray mri ct-scans pathology ultrasound retina
Health|Clinical|临床|trials admissions diagnoses prescriptions lab-results outcomes
Health|Pharma|药物|molecules adverse-events patents drug-prices targets assays
Health|Wearables|可穿戴|heart-rate sleep steps ecg accelerometer oxygen
Health|Nutrition|营养|food-composition recipes diets allergens calories labels
Language|Dialogue|对话|chat-logs customer-service instructions preferences turns intents
Language|News|新闻|headlines articles events sentiment press-releases timelines
Language|Translation|翻译|parallel-corpora subtitles terminology glossaries alignments dialects
Language|Speech|语音|recordings transcripts accents wake-words phonemes call-centre
Language|Code|代码|repositories commits code-review notebooks bug-reports unit-tests
Language|Legal|法律|contracts court-rulings statutes patents filings clauses
Vision|Driving|自动驾驶|lidar lane-markings pedestrians traffic-signs dashcam trajectories
Vision|Faces|人脸|landmarks expressions age-estimation liveness gaze masks
Vision|Retail Images|商品图像|product-photos shelves barcodes fashion packaging logos
Vision|Documents|文档|invoices receipts handwriting tables forms id-cards
Vision|Industrial|工业视觉|defects welding surface-scratches assembly x-ray-inspection thermal
Vision|Video|视频|actions sports surveillance tutorials gestures scene-cuts
Commerce|Retail|零售|point-of-sale baskets promotions inventory shelf-prices loyalty
Commerce|E-commerce|电商|clickstream reviews product-catalogue search-queries returns ratings
Commerce|Advertising|广告|impressions bids conversions audiences creatives attribution
Commerce|Pricing|价格|competitor-prices discounts price-history elasticity coupons fees
Commerce|Supply Chain|供应链|shipments suppliers lead-times customs warehouses freight-rates
Commerce|Companies|企业信息|firmographics ownership funding job-postings patents headcount
Society|Demographics|人口|census age-structure migration households income education
Society|Elections|选举|polls votes turnout districts campaigns donations
Society|Education|教育|test-scores courses enrolment curricula learning-logs scholarships
Society|Transport|交通|bus-timetables metro-ridership bike-sharing traffic-counts parking accidents
Society|Crime|治安|incidents arrests cyber-attacks sentences hotspots emergency-calls
Society|Labour|劳动力|wages vacancies skills layoffs resumes commuting
Media|Music|音乐|playlists lyrics audio-features charts artists concerts
Media|Film|影视|box-office scripts subtitles trailers cast streaming-ratings
Media|Games|游戏|matches telemetry leaderboards in-app-purchases speedruns mods
Media|Social|社交媒体|posts hashtags followers influencers communities memes
Media|Podcasts|播客|episodes transcripts listeners hosts sponsors topics
Media|Sports|体育|fixtures player-tracking injuries odds transfers standings
Technology|Networks|网络|latency routing dns packet-traces cell-towers bandwidth
Technology|Security|安全|malware vulnerabilities phishing passwords intrusion-logs honeypots
Technology|IoT|物联网|sensor-readings device-logs firmware vibration telemetry anomalies
Technology|Robotics|机器人|grasping simulation navigation point-clouds demonstrations tactile
Technology|Cloud|云计算|traces utilisation invoices autoscaling failures benchmarks
Technology|Semiconductors|半导体|wafer-maps yields process-logs chip-layouts prices equipment";
